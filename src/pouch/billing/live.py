"""What the event stream tells open pages: the balance as it is shown, and by what to know that a list is old."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from pouch.base.database import Database
from pouch.base.ids import show_id
from pouch.ledger.accounts import available_of
from pouch.ledger.history import newest_lines
from pouch.payments.purchases import newest_states
from pouch.payments.types import Purchase, PurchaseState
from pouch.usage.store import newest_of
from pouch.web.filters import dollars

STATES_TOLD = 10
"""The newest purchases whose states are told; older ones hardly move."""


class Live:
    """`look` is what `web.events.Streams` asks. Three short queries, whatever the number of organizations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def look(self, organization_ids: Sequence[UUID]) -> Mapping[UUID, Mapping[str, str]]:
        """How things are with the organizations."""
        async with self._database.transaction() as db:
            available = await available_of(db, organization_ids)
            lines = await newest_lines(db, organization_ids)
            states = await newest_states(db, organization_ids, STATES_TOLD)
            calls = await newest_of(db, organization_ids)
        return {
            each: {
                "balance": dollars(available[each]),
                "purchases": _states(states.get(each, [])),
                "ledger": str(lines.get(each, 0)),
                "calls": show_id("gen", calls[each]) if each in calls else "",
            }
            for each in organization_ids
            if each in available
        }


def purchases_seen(purchases: Sequence[Purchase]) -> str:
    """What the `purchases` event says while these, the newest first, are how they are."""
    return _states([(purchase.id, purchase.state) for purchase in purchases[:STATES_TOLD]])


def _states(states: Sequence[tuple[UUID, PurchaseState]]) -> str:
    return " ".join(f"{show_id('pur', purchase_id)}={state}" for purchase_id, state in states)
