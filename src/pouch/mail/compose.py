"""The envelope and the headers of a letter, by the standard library: nothing is put together by hand."""

from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import getaddresses
from typing import Self
from uuid import UUID

from pouch.base.errors import InvalidInput
from pouch.base.ids import show_id
from pouch.mail.outbox import address
from pouch.mail.templates import Words
from pouch.settings import SettingsError


@dataclass(frozen=True, slots=True)
class Sender:
    """Whom letters come from."""

    name: str
    address: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "Pouch <billing@example.com>". Raises SettingsError."""
        try:
            ((name, mailbox),) = getaddresses([text])
            return cls(name, address(mailbox))
        except (ValueError, InvalidInput) as error:
            raise SettingsError(f'[mail] from is {text!r}; it must look like "Pouch <billing@example.com>".') from error

    @property
    def host(self) -> str:
        """The part after the @."""
        return self.address.rpartition("@")[2]


def compose(letter_id: UUID, words: Words, *, sender: Sender, to: str, written_at: datetime) -> EmailMessage:
    """Make the message of one letter.

    Made twice it has the same Message-ID and Date, so that a mail program can tell that it is the same letter. Raises
    ValueError for a line break in a header.
    """
    message = EmailMessage(policy=SMTP if to.isascii() and sender.address.isascii() else SMTPUTF8)
    message["From"] = _header_address(sender.address, sender.name)
    message["To"] = _header_address(to)
    message["Subject"] = words.subject
    message["Date"] = written_at
    message["Message-ID"] = f"<{show_id('mail', letter_id)}@{sender.host}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(words.text, cte="quoted-printable")
    message.add_alternative(words.html, subtype="html", cte="quoted-printable")
    return message


def _header_address(mailbox: str, name: str = "") -> Address:
    local, _, host = mailbox.rpartition("@")
    return Address(name, local, host)
