"""What an organization has, for programs: its lots."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.base.database import Database
from pouch.base.ids import show_id
from pouch.billing.callers import Callers
from pouch.billing.purchase_api import json_answer
from pouch.ledger.accounts import balance
from pouch.ledger.lots import Lot, lots_of


class CreditsApi:
    """GET /api/v1/billing/lots."""

    def __init__(self, database: Database, callers: Callers) -> None:
        self._database = database
        self._callers = callers

    def routes(self) -> list[Route]:
        """Where it is."""
        return [Route("/api/v1/billing/lots", self.lots)]

    async def lots(self, request: Request) -> Response:
        """Which credits came together and what of each is left, in the order in which they are spent."""
        caller = await self._callers.reader(request)
        async with self._database.transaction() as db:
            has = await balance(db, caller.organization_id)
            found = await lots_of(db, caller.organization_id)
        return json_answer(
            {
                "balance_usd": has.posted.decimal(),
                "held_usd": has.held.decimal(),
                "available_usd": has.available.decimal(),
                "data": [_shape(lot) for lot in found],
            }
        )


def _shape(lot: Lot) -> dict[str, object]:
    return {
        "line": show_id("line", lot.id),
        "kind": lot.grant_kind or "paid",
        "at": lot.at.isoformat(),
        "amount_usd": lot.amount.decimal(),
        "left_usd": lot.left.decimal(),
        "expires_at": lot.expires_at.isoformat() if lot.expires_at else None,
        "note": lot.note,
    }
