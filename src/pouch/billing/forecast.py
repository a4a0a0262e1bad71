"""How long the credits last: at today's pace and at that of the last seven days.

In words. A pace is what was spent, stretched to a whole day: since midnight UTC, but at least an hour of it; and in the
last seven days, or since the first charge in them, but at least a day. Without spending nobody can say, and nothing is
said. What is available lasts (available ÷ pace) days. An auto top-up's cap is hit when the balance has come down to the
threshold and all that the cap still allows was bought and spent, too; in a month that ends before, it is not hit.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from pouch.base.clock import Clock, system_clock
from pouch.base.database import Connection
from pouch.base.money import ZERO, Money
from pouch.ledger.accounts import balance
from pouch.ledger.spending import Pace, Paces

DAY_S = 86_400
HOUR_S = 3_600
DAYS_MAX = 3_650
"""Beyond ten years nobody believes a date."""


@dataclass(frozen=True, slots=True)
class Cap:
    """What an auto top-up may still buy in this month, and at which balance it buys."""

    left: Money
    threshold: Money


FindCap = Callable[[Connection, UUID], Awaitable[Cap | None]]


@dataclass(frozen=True, slots=True)
class Outlook:
    """One pace and what follows from it. `days_left` is whole days, rounded down; None when it is beyond belief."""

    per_day: Money
    days_left: int | None
    runs_out_at: datetime | None
    cap_hit_at: datetime | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """`today` and `week` are None without spending."""

    available: Money
    today: Outlook | None
    week: Outlook | None

    @property
    def days_left(self) -> int | None:
        """The one number for the balance menu: by the week, which is steadier, else by today."""
        outlook = self.week or self.today
        return outlook.days_left if outlook else None


def forecast(available: Money, pace: Pace, now: datetime, cap: Cap | None = None) -> Forecast:
    """Work out both outlooks. Pure."""
    now = now.astimezone(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    today_s = max(int((now - midnight).total_seconds()), HOUR_S)
    week_s = DAY_S if pace.since is None else min(max(int((now - pace.since).total_seconds()), DAY_S), 7 * DAY_S)
    return Forecast(
        available,
        _outlook(available, pace.today, today_s, now, cap),
        _outlook(available, pace.week, week_s, now, cap),
    )


class Forecasts:
    """The forecasts of one process. `find_cap` is set by whoever knows of auto top-ups."""

    def __init__(self, *, clock: Clock = system_clock, find_cap: FindCap | None = None) -> None:
        self._paces = Paces()
        self._clock = clock
        self._find_cap = find_cap

    async def of(self, db: Connection, organization_id: UUID) -> Forecast:
        """The organization's forecast as it is now."""
        now = self._clock()
        pace = await self._paces.of(db, organization_id, now=now)
        has = await balance(db, organization_id)
        cap = await self._find_cap(db, organization_id) if self._find_cap else None
        return forecast(has.available, pace, now, cap)


def _outlook(available: Money, spent: Money, seconds: int, now: datetime, cap: Cap | None) -> Outlook | None:
    per_day = Money(spent.nanos * DAY_S // seconds)
    if per_day <= ZERO:
        return None
    lasts_s = max(available.nanos, 0) * DAY_S // per_day.nanos
    if lasts_s > DAYS_MAX * DAY_S:
        return Outlook(per_day, None, None, None)
    return Outlook(
        per_day, lasts_s // DAY_S, now + timedelta(seconds=lasts_s), _cap_hit_at(available, per_day, now, cap)
    )


def _cap_hit_at(available: Money, per_day: Money, now: datetime, cap: Cap | None) -> datetime | None:
    if cap is None:
        return None
    until_s = max((available - cap.threshold + cap.left).nanos, 0) * DAY_S // per_day.nanos
    next_month = (now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(day=1)
    if until_s >= (next_month - now).total_seconds():
        return None
    return now + timedelta(seconds=until_s)
