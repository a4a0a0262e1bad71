"""Handing one message to the operator's relay, by SMTP."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Literal, Self
from urllib.parse import urlsplit

from aiosmtplib import SMTP, SMTPDataError, SMTPException, SMTPRecipientsRefused, SMTPResponseException
from pydantic import SecretStr

from pouch.mail.compose import Sender
from pouch.settings import Settings, SettingsError, is_loopback_host

STEP_TIMEOUT_S = 10
"""For connecting and for each answer of the relay."""
TOTAL_TIMEOUT_S = 30
QUIT_TIMEOUT_S = 2
SUBMISSION_PORT, SUBMISSIONS_PORT = 587, 465


class NotDelivered(Exception):
    """The relay did not take the message. `is_final`: it never will."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


@dataclass(frozen=True, slots=True)
class Relay:
    """Where mail is handed in."""

    host: str
    port: int
    tls: Literal["from_the_start", "required", "when_offered", "none"] = "none"
    username: str | None = None
    password: SecretStr | None = field(default=None, repr=False)

    @classmethod
    def of(cls, settings: Settings, *, embedded_port: int | None) -> Self | None:
        """The relay of `[mail] smtp_url`, else the embedded mailbox, else None. Raises SettingsError."""
        url = settings.file.mail.smtp_url
        if url is None:
            return None if embedded_port is None else cls("127.0.0.1", embedded_port)
        host, port, scheme = _parts(url)
        if scheme == "smtps":
            tls: Literal["from_the_start", "required", "when_offered", "none"] = "from_the_start"
        elif is_loopback_host(host):
            # A relay on this machine often offers a certificate for no name that we could check.
            tls = "none"
        else:
            # Who can cut the word STARTTLS out of the relay's answer must not be handed the password.
            tls = "required" if settings.smtp_username else "when_offered"
        return cls(host, port, tls, settings.smtp_username, settings.smtp_password)


async def deliver(relay: Relay, message: EmailMessage, *, sender: Sender, to: str) -> None:
    """Hand in one message. Returning means that the relay has it; raises NotDelivered otherwise.

    When the line is cut after the last byte nobody knows: that counts as not delivered, so it may arrive twice.
    """
    client = SMTP(
        hostname=relay.host,
        port=relay.port,
        username=relay.username,
        password=relay.password.get_secret_value() if relay.password else None,
        local_hostname=sender.host,
        timeout=STEP_TIMEOUT_S,
        use_tls=relay.tls == "from_the_start",
        start_tls={"required": True, "when_offered": None}.get(relay.tls, False),
    )
    try:
        async with asyncio.timeout(TOTAL_TIMEOUT_S):
            await client.connect()
            await client.send_message(message, sender=sender.address, recipients=[to])
    except (SMTPException, OSError) as error:
        client.close()
        raise _not_delivered(error) from error
    except BaseException:
        client.close()
        raise
    # It is theirs from here on: how the good-bye goes does not matter.
    with contextlib.suppress(SMTPException, OSError):
        await client.quit(timeout=QUIT_TIMEOUT_S)
    client.close()


def _not_delivered(error: SMTPException | OSError) -> NotDelivered:
    answer = error.recipients[0] if isinstance(error, SMTPRecipientsRefused) else error
    if not isinstance(answer, SMTPResponseException):
        return NotDelivered(f"{type(error).__name__}: {error}")
    # 5xx to the address or the message is meant for this letter. To a greeting, a sign-in or our own address it tells
    # that something is not set up, which the operator can mend while letters wait.
    is_about_the_letter = isinstance(error, SMTPRecipientsRefused | SMTPDataError)
    return NotDelivered(f"{answer.code} {answer.message}", is_final=is_about_the_letter and answer.code >= 500)


def _parts(url: str) -> tuple[str, int, str]:
    wrong = SettingsError(f"[mail] smtp_url is {url!r}; it must look like smtp://relay.example.com:587.")
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise SettingsError(
            "[mail] smtp_url must not hold a name or password. Set POUCH_SMTP_USERNAME and POUCH_SMTP_PASSWORD."
        )
    try:
        port = parts.port
    except ValueError as error:
        raise wrong from error
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise wrong
    return parts.hostname, port or (SUBMISSIONS_PORT if parts.scheme == "smtps" else SUBMISSION_PORT), parts.scheme
