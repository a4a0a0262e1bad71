"""The parts of this room, put together for one process."""

from dataclasses import dataclass

from pouch.base.database import Database
from pouch.payments.charges import Charges
from pouch.payments.checkout import Checkout
from pouch.payments.processor import Processor
from pouch.payments.sync import Sync
from pouch.settings import Settings
from pouch.topups.amounts import Limits
from pouch.topups.charging import Charging
from pouch.topups.judging import Judge
from pouch.topups.outcomes import Outcomes
from pouch.topups.recovery import ConfirmLinks, Recovery
from pouch.topups.switching import Switch


@dataclass(frozen=True, slots=True)
class TopUps:
    """What pages and workers need, and `sync`, which tells this room of every payment."""

    sync: Sync
    switch: Switch
    recovery: Recovery
    judge: Judge
    charging: Charging | None
    """None where no cards are taken."""

    @classmethod
    def of(cls, database: Database, processor: Processor | None, checkout: Checkout, settings: Settings) -> "TopUps":
        """Put them together."""
        outcomes, file = Outcomes(), settings.file
        sync = Sync(database, processor, checkout, automatic=outcomes)
        charges = Charges.of(file.payments).unattended
        limits = Limits(file.credits.purchase_min_usd, file.credits.purchase_max_usd, charges)
        links = ConfirmLinks(settings.secret_keys, settings.url)
        charging = Charging(database, processor, sync, outcomes, site_name=file.site.name) if processor else None
        judge = Judge(database, sync.cards, limits)
        switch = Switch(database, sync.cards, limits, judge)
        return cls(sync, switch, Recovery(database, checkout, links), judge, charging)
