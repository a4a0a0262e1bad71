"""The outbox: a letter is written in the transaction it speaks of, so it is sent if and only if that happened."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from psycopg.types.json import Jsonb

from pouch.base.database import Connection
from pouch.base.errors import InvalidInput
from pouch.base.ids import new_id
from pouch.base.languages import say
from pouch.jobs.doorbell import ring

TABLE = "mail_letters"
JOB = "mail.send"

ADDRESS_BYTES_MAX = 254
"""The longest address that mail can carry (RFC 5321)."""

_KIND = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
# Nothing that is not drawn and nothing that means something in a header; before and after one @.
_ADDRESS = re.compile(r"""([^\s\x00-\x1f\x7f-\x9f"(),:;<>@\[\\\]]+)@([^\s\x00-\x1f\x7f-\x9f"(),:;<>@\[\\\]]+)""")


@dataclass(frozen=True, slots=True)
class Letter:
    """What somebody is told. `key` names its cause: one letter per key, ever.

    `context` is what the templates of `kind` show, as finished text ("$25.00"); never a secret, since it stays in the
    database.
    """

    key: str
    to: str
    kind: str
    context: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A letter that was given up, for the operator."""

    id: UUID
    kind: str
    to: str
    created_at: datetime
    attempts: int
    error: str


async def write(db: Connection, letter: Letter) -> bool:
    """Put a letter into the outbox, in the caller's transaction. False when one with its key is there already.

    Raises InvalidInput when the address cannot be a mail address.
    """
    if not _KIND.fullmatch(letter.kind):
        raise ValueError(f"{letter.kind!r} is not a kind of letter")
    letter_id = new_id()
    written = await db.execute(
        """
        INSERT INTO mail_letters (id, key, kind, to_address, context)
        VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT ON CONSTRAINT mail_letters_key_once DO NOTHING
        """,
        (letter_id, letter.key, letter.kind, address(letter.to), Jsonb(dict(letter.context))),
    )
    if written.rowcount == 0:
        return False
    await ring(db, JOB, letter_id, lane="mail")
    return True


@dataclass(frozen=True, slots=True)
class Entry:
    """A letter as the operator sees it in the log."""

    id: UUID
    kind: str
    to: str
    state: str
    created_at: datetime
    sent_at: datetime | None
    attempts: int
    error: str


async def log(  # noqa: PLR0913 -- what is looked for, by name
    db: Connection, *, to: str = "", kind: str = "", state: str = "", before: UUID | None = None, limit: int = 50
) -> list[Entry]:
    """The newest letters first, of these choices; `to` is part of an address."""
    like = "%" + to.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    found = await db.execute(
        """
        SELECT id, kind, to_address, state, created_at, sent_at, attempts, error
          FROM mail_letters
         WHERE to_address ILIKE %(like)s
           AND (%(kind)s = '' OR kind = %(kind)s) AND (%(state)s = '' OR state = %(state)s)
           AND (%(before)s::uuid IS NULL OR id < %(before)s)
         ORDER BY id DESC LIMIT %(limit)s
        """,
        {"like": like, "kind": kind, "state": state, "before": before, "limit": limit},
    )
    return [Entry(*row) for row in await found.fetchall()]


async def try_again(db: Connection, letter_id: UUID) -> bool:
    """Send a letter that was given up, or waits for its next try, now. False when there is nothing to send."""
    moved = await db.execute(
        """
        UPDATE mail_letters SET state = 'queued', due_at = now(), attempts = 0
         WHERE id = %s AND (state = 'failed' OR state = 'queued' AND due_at > now())
        """,
        (letter_id,),
    )
    if moved.rowcount == 0:
        return False
    await ring(db, JOB, letter_id, lane="mail")
    return True


async def undelivered(db: Connection, *, limit: int = 100) -> list[Undelivered]:
    """Letters that were given up, newest first."""
    found = await db.execute(
        """
        SELECT id, kind, to_address, created_at, attempts, error
          FROM mail_letters
         WHERE state = 'failed'
         ORDER BY created_at DESC
         LIMIT %s
        """,
        (limit,),
    )
    return [Undelivered(*row) for row in await found.fetchall()]


async def forget(db: Connection, to: str) -> None:
    """Forget what was written to an address and is done with. The keys of these letters stay, so none comes again."""
    await db.execute(
        """
        UPDATE mail_letters SET to_address = 'forgotten', context = '{}', error = ''
         WHERE to_address = %s AND state IN ('sent', 'failed')
        """,
        (address(to),),
    )


def address(text: str) -> str:
    """Read one mail address; a host's name in other letters is given in its ASCII form.

    It is no stricter than it must be, since it stands in the way of the caller's commit: whether an address is well
    chosen is identity's to say, whether a host can be reached the relay's. Raises InvalidInput for what would not stay
    one address in a header: line breaks, spaces, display names, lists.
    """
    parts = _ADDRESS.fullmatch(text)
    if parts is None or len(text.encode()) > ADDRESS_BYTES_MAX:
        raise InvalidInput(say("That is not an e-mail address such as alice@example.com."), field="email")
    if parts[2].isascii():
        return text
    try:
        host = validate_email(f"x@{parts[2]}", check_deliverability=False, globally_deliverable=False).ascii_domain
    except EmailNotValidError as error:
        raise InvalidInput(say("That is not an e-mail address such as alice@example.com."), field="email") from error
    return f"{parts[1]}@{host}"
