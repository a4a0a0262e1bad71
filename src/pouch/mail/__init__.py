"""The outbox: mails written with the rows they speak of, sent later."""
