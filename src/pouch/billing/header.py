"""The money that every page shows: the balance in the top bar, and the payments that are under way."""

from dataclasses import dataclass

from pouch.base.database import Database
from pouch.billing.forecast import Forecast, Forecasts
from pouch.ledger.accounts import balance
from pouch.payments.purchases import list_waiting, pending_total
from pouch.payments.types import Purchase
from pouch.topups.switching import Overview, Switch
from pouch.web.viewer import Header, Viewer


@dataclass(frozen=True, slots=True)
class MoneyHeader(Header):
    """What `web` asks for, and what the dialogs show: the purchases that may still be paid, and the auto top-up."""

    waiting: tuple[Purchase, ...] = ()
    top_up: Overview | None = None
    forecast: Forecast | None = None

    @property
    def days_left(self) -> int | None:
        """How long the credits last, as they are spent now. None when nobody can say."""
        return self.forecast.days_left if self.forecast else None


class MoneyHeaders:
    """`find` is what `Web.find_header` is set to."""

    def __init__(self, database: Database, switch: Switch, forecasts: Forecasts | None = None) -> None:
        self._database = database
        self._switch = switch
        self._forecasts = forecasts or Forecasts()

    async def find(self, viewer: Viewer) -> MoneyHeader:
        """The money of the viewer's organization."""
        async with self._database.transaction() as db:
            has = await balance(db, viewer.organization_id)
            pending = await pending_total(db, viewer.organization_id)
            waiting = await list_waiting(db, viewer.organization_id)
            top_up = await self._switch.overview(db, viewer.organization_id)
            forecast = await self._forecasts.of(db, viewer.organization_id)
        return MoneyHeader(
            available=has.available,
            held=has.held,
            balance=has.posted,
            pending=pending,
            waiting=tuple(waiting),
            top_up=top_up,
            forecast=forecast,
        )
