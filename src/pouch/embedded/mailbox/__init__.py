"""A mail server at the far end of SMTP, for machines that have none: it keeps what it gets and shows it."""

from pouch.embedded.mailbox.mailbox import Mailbox

__all__ = ["Mailbox"]
