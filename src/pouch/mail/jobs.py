"""Sending what lies in the outbox: at least once to the relay, shown as sent once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import structlog
from jinja2 import TemplateError

from pouch.base.database import Connection, Database
from pouch.base.ids import show_id
from pouch.jobs import claims
from pouch.jobs.claims import Claim, Retries
from pouch.jobs.registry import Jobs
from pouch.mail.compose import Sender, compose
from pouch.mail.outbox import JOB, TABLE
from pouch.mail.sending import NotDelivered, Relay, deliver
from pouch.mail.templates import Templates

log = structlog.get_logger(__name__)

LEASE_S = 60
"""Longer than `sending.TOTAL_TIMEOUT_S` and the two short transactions around it."""

RETRIES = Retries(delays_s=(10, 60, 600, 3600), attempts_max=51, waiting="queued", stuck="failed")
"""47 pauses of an hour after the first three: two days."""


Complete: TypeAlias = Callable[[str, Mapping[str, str]], Mapping[str, str]]
"""From a letter's kind and context to all that its templates show: adds what must not lie in the outbox."""


def _as_it_is(_kind: str, context: Mapping[str, str]) -> Mapping[str, str]:
    return context


@dataclass(frozen=True, slots=True)
class _Letter:
    id: UUID
    kind: str
    to: str
    context: dict[str, str]
    written_at: datetime


class Postman:
    """Sends letters. `relay` None: there is nowhere to send them, so they wait and say so.

    `complete` is asked when a letter is put into words, for secrets such as the token of a link.
    """

    def __init__(
        self,
        database: Database,
        *,
        templates: Templates,
        relay: Relay | None,
        sender: Sender,
        complete: Complete = _as_it_is,
    ) -> None:
        self._database = database
        self._complete = complete
        self._templates = templates
        self._relay = relay
        self._sender = sender

    def register(self, jobs: Jobs) -> None:
        """Send letters in this process."""
        jobs.register(JOB, self.send, _due, lane="mail")

    async def send(self, letter_id: UUID) -> None:
        """Send one letter if it is due and nobody else is sending it.

        Killed after the relay took it and before that is written down, it is sent once more when the lease has ended.
        """
        async with self._database.transaction() as db:
            claim = await claims.claim(db, TABLE, letter_id, LEASE_S, state="sending")
            if claim is None:
                return
            letter = await _read(db, letter_id)
        try:
            await self._hand_in(letter)
        except NotDelivered as failure:
            await self._put_back(claim, letter, str(failure), is_final=failure.is_final)
        except (TemplateError, ValueError) as failure:
            # A broken template is ours to mend, and the letter waits for that.
            await self._put_back(claim, letter, f"{type(failure).__name__}: {failure}", is_final=False)
        else:
            async with self._database.transaction() as db:
                await claims.finish(db, claim, "sent", stamp="sent_at")

    async def _hand_in(self, letter: _Letter) -> None:
        if self._relay is None:
            raise NotDelivered("There is no mail relay: set [mail] smtp_url in pouch.toml.")
        context = self._complete(letter.kind, letter.context)
        words = self._templates.render(letter.kind, to=letter.to, context=context)
        message = compose(letter.id, words, sender=self._sender, to=letter.to, written_at=letter.written_at)
        await deliver(self._relay, message, sender=self._sender, to=letter.to)

    async def _put_back(self, claim: Claim, letter: _Letter, reason: str, *, is_final: bool) -> None:
        retries = RETRIES.none_left() if is_final else RETRIES
        async with self._database.transaction() as db:
            outcome = await claims.fail(db, claim, reason, retries)
        tell = log.error if outcome == "given_up" else log.warning
        tell(f"mail.{outcome}", letter=show_id("mail", letter.id), kind=letter.kind, reason=reason)


async def _read(db: Connection, letter_id: UUID) -> _Letter:
    found = await db.execute(
        "SELECT id, kind, to_address, context, created_at FROM mail_letters WHERE id = %s", (letter_id,)
    )
    row = await found.fetchone()
    assert row is not None
    return _Letter(*row)


async def _due(db: Connection) -> list[UUID]:
    return await claims.due(db, TABLE)
