"""What the Usage page shows: a period in figures, drawn by day, and split by model and by key."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar
from urllib.parse import urlencode
from uuid import UUID

from pouch.base.ids import read_id, show_id
from pouch.base.money import Money
from pouch.usage.chart import SERIES_MAX, Chart, draw
from pouch.usage.days import Bucket, Figures, Usage
from pouch.usage.types import Filter
from pouch.web.filters import exact

PERIODS = (7, 30, 90)
PERIOD = 30
ROWS_MAX = 10
"""Models and keys with a line of their own; the others are one line together."""
NARROW_COLUMNS = 10
_WEEKLY = 90

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for."""

    days: int = PERIOD
    wanted: Filter = Filter()  # noqa: RUF009 -- it is frozen
    before: UUID | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Asked":
        """Read the address. What cannot be read is left out, since a mistyped address needs no refusal."""
        days = next((days for days in PERIODS if query.get("days") == str(days)), PERIOD)
        model = query.get("model", "")[:200].replace("\x00", "") or None
        task = query.get("task", "")[:64].replace("\x00", "") or None
        wanted = Filter(model, read_id("key", query.get("key", "")), task)
        return cls(days, wanted, read_id("gen", query.get("before", "")))

    def address(self, **changes: str) -> str:
        """This page with other choices; an empty one is left out."""
        key = show_id("key", self.wanted.key_id) if self.wanted.key_id else ""
        wanted = {"model": self.wanted.model_id or "", "key": key, "task": self.wanted.task_id or ""}
        choices = {"days": str(self.days)} | wanted | changes
        if choices["days"] == str(PERIOD):
            del choices["days"]
        query = urlencode({name: value for name, value in choices.items() if value})
        return f"/usage?{query}" if query else "/usage"

    @property
    def is_filtered(self) -> bool:
        """Whether only some of the calls are shown."""
        return self.wanted != Filter()

    @property
    def bucket(self) -> Bucket:
        """What one bar is."""
        return "week" if self.days == _WEEKLY else "day"

    def since(self, now: datetime) -> datetime:
        """The beginning of the period; today is its last day, UTC."""
        today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return today - timedelta(days=self.days - 1)


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of the chart: a model, or the others together (no `model_id`)."""

    model_id: str | None
    amounts: dict[date, int]
    total: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """The chart for a desk and for a phone, and its figures: nano-dollars or, if it is not money, numbers of calls."""

    is_money: bool
    series: tuple[Series, ...]
    days: tuple[date, ...]
    wide: Chart
    narrow: Chart

    def text(self, value: int) -> str:
        """The value as the page writes it."""
        return exact(Money(value)) if self.is_money else f"{value:,}"

    def total(self, day: date) -> int:
        """Everything of one day."""
        return sum(each.amounts.get(day, 0) for each in self.series)


def drawing(usage: Usage, asked: Asked, now: datetime) -> Drawing:
    """Draw the dollars of each bucket by model; the calls, when nothing was charged. The oldest bucket first."""
    is_money = bool(usage.total.charged)
    series = _series(usage, is_money=is_money)
    days = _buckets(asked.since(now).date(), now.astimezone(UTC).date(), asked.bucket)
    amounts = [each.amounts for each in series]
    few = days[-NARROW_COLUMNS:]
    return Drawing(
        is_money,
        series,
        days,
        wide=draw(days, amounts, is_money=is_money, width=1040, height=232, every=4 if len(days) > 14 else 1),
        narrow=draw(few, amounts, is_money=is_money, width=358, height=200, every=3),
    )


def shortened(figures: Mapping[T, Figures]) -> tuple[list[tuple[T, Figures]], Figures | None]:
    """The first ROWS_MAX, and the others added up, if there are more."""
    rows = list(figures.items())
    if len(rows) <= ROWS_MAX:
        return rows, None
    others = [each for _, each in rows[ROWS_MAX - 1 :]]
    return rows[: ROWS_MAX - 1], Figures(
        sum(each.calls for each in others),
        sum(each.tokens_input for each in others),
        sum(each.tokens_cached for each in others),
        sum(each.tokens_output for each in others),
        Money(sum(each.charged.nanos for each in others)),
    )


def _series(usage: Usage, *, is_money: bool) -> tuple[Series, ...]:
    models = list(usage.models)
    own = models if len(models) <= SERIES_MAX else models[: SERIES_MAX - 1]
    by_series: dict[str | None, dict[date, int]] = {model_id: {} for model_id in own}
    for (day, model_id), figures in usage.buckets.items():
        amounts = by_series.setdefault(model_id if model_id in own else None, {})
        amounts[day] = amounts.get(day, 0) + (figures.charged.nanos if is_money else figures.calls)
    return tuple(Series(model_id, amounts, sum(amounts.values())) for model_id, amounts in by_series.items())


def _buckets(first: date, last: date, bucket: Bucket) -> tuple[date, ...]:
    step = timedelta(days=7 if bucket == "week" else 1)
    if bucket == "week":
        first -= timedelta(days=first.weekday())
    return tuple(first + number * step for number in range((last - first) // step + 1))
