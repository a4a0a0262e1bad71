"""Leases: a process that places holds beats every five seconds; one that is silent for thirty loses its holds.

Rule. A process's holds belong to its lease. When the lease is lost, the sweep expires them **uncharged**: the customer
gets the credits back, and the operator sees the list. The process itself notices at its next beat that it was fenced
and must stop what it was doing. A call it finishes all the same is a late capture (see `admission`).
"""

from dataclasses import dataclass
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.ledger.operations import Closed, Expire, Hold
from pouch.ledger.posting import post_batch

BEAT_EVERY_S = 5
LOST_AFTER_S = 30
SWEEP_BATCH = 500


@dataclass(frozen=True, slots=True)
class ExpiredHold:
    """A hold that was given back uncharged because its process was gone."""

    id: UUID
    organization_id: UUID
    amount: Money


async def take_lease(db: Connection, process: str) -> UUID:
    """Begin the life of a process. Earlier leases under the same name are lost at once: their process was replaced."""
    lease_id = new_id()
    await db.execute("UPDATE ledger_leases SET lost_at = now() WHERE process = %s AND lost_at IS NULL", (process,))
    await db.execute("INSERT INTO ledger_leases (id, process) VALUES (%s, %s)", (lease_id, process))
    return lease_id


async def beat(db: Connection, lease_id: UUID) -> bool:
    """Say that the process lives. False when the lease was lost: the process is fenced and must take a new one."""
    beaten = await db.execute(
        "UPDATE ledger_leases SET beat_at = clock_timestamp() WHERE id = %s AND lost_at IS NULL", (lease_id,)
    )
    return beaten.rowcount == 1


async def give_up_lease(db: Connection, lease_id: UUID) -> None:
    """End a process in order, with every hold settled."""
    await db.execute("UPDATE ledger_leases SET lost_at = now() WHERE id = %s AND lost_at IS NULL", (lease_id,))


async def sweep(db: Connection) -> list[ExpiredHold]:
    """Take the leases of silent processes and expire up to 500 of the holds of lost leases. Repeat until empty."""
    await db.execute(
        """
        UPDATE ledger_leases SET lost_at = now()
         WHERE lost_at IS NULL AND beat_at < now() - make_interval(secs => %s)
        """,
        (LOST_AFTER_S,),
    )
    rows = await db.execute(
        """
        SELECT h.id, a.organization_id, h.amount_nanos,
               ARRAY(SELECT DISTINCT l.subject FROM ledger_limits AS l WHERE l.id = ANY(h.limit_ids))
          FROM ledger_leases AS s
          JOIN ledger_holds AS h ON h.lease_id = s.id AND h.state = 'open'
          JOIN ledger_accounts AS a ON a.id = h.account_id
         WHERE s.lost_at IS NOT NULL
         LIMIT %s
        """,
        (SWEEP_BATCH,),
    )
    holds = [
        Hold(id_, organization, amount, tuple(subjects))
        for id_, organization, amount, subjects in await rows.fetchall()
    ]
    if not holds:
        return []
    answers = await post_batch(db, [Expire(hold) for hold in holds])
    return [
        ExpiredHold(hold.id, hold.organization_id, Money(hold.amount_nanos))
        for hold, answer in zip(holds, answers, strict=True)
        if isinstance(answer, Closed) and not answer.repeated
    ]
