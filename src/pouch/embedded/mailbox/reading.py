"""Making a message readable: MIME parts, transfer encodings, character sets and encoded headers undone."""

from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default


@dataclass(frozen=True, slots=True)
class Readable:
    """What a person reads. A part that the message does not have is empty."""

    subject: str
    text: str
    html: str


def read(raw: bytes) -> Readable:
    """Decode a message; broken ones as far as that goes, so that nothing that was accepted is lost."""
    message = message_from_bytes(raw, _class=EmailMessage, policy=default)
    return Readable(
        subject=_storable(str(message.get("Subject", ""))),
        text=_part(message, "plain"),
        html=_part(message, "html"),
    )


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    if part is None:
        return ""
    try:
        content = part.get_content()
    except (LookupError, UnicodeError):  # a character set that does not exist, or is not what the bytes are in
        payload = part.get_payload(decode=True)
        content = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
    return _storable(str(content).replace("\r\n", "\n"))


def _storable(text: str) -> str:
    """Without what Postgres cannot keep as text: NUL, and halves of characters.

    Headers may come in plain UTF-8 (RFC 6532), which the standard library reads as one such half for each byte.
    """
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "replace")
    return raw.decode("utf-8", "replace").replace("\x00", "")
