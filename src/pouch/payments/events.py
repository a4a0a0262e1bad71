"""The inbox: what the card processor sends is stored first and acted on afterwards, once."""

from typing import Literal
from uuid import UUID

import structlog

from pouch.base.database import Connection, Database
from pouch.base.ids import derived_id
from pouch.jobs import claims
from pouch.jobs.claims import Retries
from pouch.jobs.doorbell import ring
from pouch.payments.errors import ProcessorRefused, ProcessorSilent
from pouch.payments.sync import Sync
from pouch.payments.types import Event, Mode

TABLE = "payment_events"
JOB = "payments.event"
LEASE_S = 60.0
RETRIES = Retries(delays_s=(5, 15, 60, 300, 900, 3600), attempts_max=40, waiting="waiting", stuck="flagged")
"""For a day and a half; purchases are looked up without any event, too."""

ACTED_ON: dict[str, frozenset[str]] = {
    "checkout.session": frozenset({"completed", "async_payment_succeeded", "async_payment_failed", "expired"}),
    "payment_intent": frozenset({"succeeded", "processing", "payment_failed", "canceled"}),
    "setup_intent": frozenset({"succeeded", "setup_failed"}),
    "payment_method": frozenset({"attached", "detached", "updated", "automatically_updated"}),
    "charge": frozenset({"refunded"}),
    "refund": frozenset({"created", "updated", "failed"}),
    "charge.refund": frozenset({"updated"}),
    "charge.dispute": frozenset({"created", "updated", "closed", "funds_withdrawn", "funds_reinstated"}),
    "radar.early_fraud_warning": frozenset({"created", "updated"}),
}
"""By what the event is about, what may have happened to it. Everything else is stored and left alone."""

UNKNOWN = "It belongs to nothing of this Pouch."

_log = structlog.get_logger("pouch.payments")


async def receive(db: Connection, event: Event, mode: Mode) -> UUID | None:
    """Store an event whose signature holds, and ring for it in the same transaction. Returns its id for `process`.

    None when nothing is left to do: it came before, or it is about another mode or account and was only flagged.
    """
    event_id = derived_id(f"event:{event.id}")
    state, note = _first_look(event, mode)
    stored = await db.execute(
        """
        INSERT INTO payment_events (stripe_id, id, type, object_id, account, livemode, occurred_at, state, note, due_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, CASE WHEN %s = 'waiting' THEN now() END)
        ON CONFLICT DO NOTHING  -- on either key: at the same moment the derived one may be seen first
        """,
        (
            event.id,
            event_id,
            event.type,
            event.object_id,
            event.account,
            event.livemode,
            event.occurred_at,
            state,
            note,
            state,
        ),
    )
    if stored.rowcount == 0:
        return None
    if state == "flagged":
        _log.error("payment_event_flagged", event_id=event.id, type=event.type, note=note)
    if state != "waiting":
        return None
    await ring(db, JOB, event_id)
    return event_id


async def due(db: Connection) -> list[UUID]:
    """The events that nobody has acted on yet."""
    return await claims.due(db, TABLE)


class Inbox:
    """Acts on stored events. Any number of processes may try the same one; one of them does."""

    def __init__(self, database: Database, sync: Sync) -> None:
        self._database = database
        self._sync = sync

    async def process(self, event_id: UUID) -> None:
        """Look at the object that the event is about. Without an answer the event is due again, later and later."""
        async with self._database.transaction() as db:
            claim = await claims.claim(db, TABLE, event_id, LEASE_S)
            if claim is None:
                return
            rows = await db.execute("SELECT stripe_id, type, object_id FROM payment_events WHERE id = %s", (event_id,))
            row = await rows.fetchone()
        assert row is not None
        stripe_id, kind, object_id = row
        try:
            is_known = await self._sync.object(object_id)
        except (ProcessorSilent, ProcessorRefused) as error:
            async with self._database.transaction() as db:
                if await claims.fail(db, claim, error.reason, RETRIES) == "given_up":
                    _log.error("payment_event_given_up", event_id=stripe_id, type=kind, reason=error.reason)
            return
        async with self._database.transaction() as db:
            if is_known:
                await claims.finish(db, claim, "done")
            elif await claims.finish(db, claim, "flagged"):
                await db.execute("UPDATE payment_events SET note = %s WHERE id = %s", (UNKNOWN, event_id))
                _log.error("payment_event_flagged", event_id=stripe_id, type=kind, note=UNKNOWN)


def is_acted_on(type_: str) -> bool:
    """Whether anything is done about events of this type, such as "payment_intent.succeeded"."""
    about, _, what = type_.rpartition(".")
    return what in ACTED_ON.get(about, ())


def _first_look(event: Event, mode: Mode) -> tuple[Literal["waiting", "done", "flagged"], str]:
    if event.account:
        return "flagged", "It is about another account."
    if event.livemode != (mode == "live"):
        return "flagged", f"It is about {'live' if event.livemode else 'test'} mode; this Pouch uses {mode} mode."
    if not is_acted_on(event.type):
        return "done", "Nothing is done about events of this type."
    return "waiting", ""
