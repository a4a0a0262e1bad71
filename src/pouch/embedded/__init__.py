"""Stand-ins at the far end of real protocols: Postgres, cards, mailbox, test models."""
