"""Where this processor stands, how it behaves, and one piece of work in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pouch.base.database import Connection
from pouch.embedded.cards.faults import Faults

RETRY_DELAYS_S = (1, 2, 5, 15, 60, 300, 1800, 3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Addresses, keys and habits; chosen once, by whoever starts the processor."""

    secret_key: str
    """What the SDK presents. Fingerprints of cards are made with it, too, so nobody can read a card from one."""
    webhook_secret: str
    webhook_url: str | None
    """Where events go. None: nobody listens yet, and they wait."""
    pages_url: str
    """How browsers reach the mounted app, mount path included and no slash at the end."""
    settle_after_s: float = 10
    """How long a bank debit is under way."""
    retry_delays_s: Sequence[float] = RETRY_DELAYS_S
    """The pause after each failed delivery of an event; the last one repeats."""

    @property
    def settle_after(self) -> timedelta:
        """The same as `settle_after_s`."""
        return timedelta(seconds=self.settle_after_s)


@dataclass(frozen=True, slots=True)
class Desk:
    """One piece of work: the transaction it happens in, the time it happens at, and where."""

    db: Connection
    now: datetime
    place: Place
    faults: Faults = field(default_factory=Faults)
