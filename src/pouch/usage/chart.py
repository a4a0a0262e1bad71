"""Stacked bars as an SVG drawing: only numbers are worked out here, the macro `bars` draws them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pouch.base.languages import say
from pouch.base.money import Money
from pouch.web.filters import exact

LABELS, GAP, FOOT, HEAD = 48, 1, 28, 8
"""In pixels: the column of labels, the space between stacked parts, the line of days, the room at the top."""
LINES_MAX = 5
SERIES_MAX = 3


@dataclass(frozen=True, slots=True)
class GridLine:
    """A height with its label. All positions are texts of pixels, since they go into attributes."""

    y: str
    label: str


@dataclass(frozen=True, slots=True)
class Column:
    """One bucket: where it stands, what hovering over it says, and the label under it, if it has one."""

    x: str
    middle: str
    title: str
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """The drawing. `paths` has one path for each series."""

    width: int
    height: int
    foot: int
    left: int
    slot: str
    grid: tuple[GridLine, ...]
    columns: tuple[Column, ...]
    paths: tuple[str, ...]


def draw(  # noqa: PLR0913 -- the data, then the canvas
    days: Sequence[date],
    series: Sequence[Mapping[date, int]],
    *,
    is_money: bool,
    width: int,
    height: int,
    every: int,
) -> Chart:
    """Draw the days side by side. Amounts are nano-dollars, or counts where not `is_money`; every n-th day is named."""
    plot = height - FOOT
    totals = [sum(each.get(day, 0) for each in series) for day in days]
    step = _step(max([*totals, 1]))
    ceiling = -(-max([*totals, 1]) // step) * step
    slot = (width - LABELS) * 10 // len(days)
    lefts = [LABELS * 10 + number * slot for number in range(len(days))]
    heights = [[_tenths(each.get(day, 0), ceiling, plot) for day in days] for each in series]
    columns = tuple(
        Column(
            _px(left),
            _px(left + slot // 2),
            f"{_day(day)}: {_amount(total, is_money=is_money)}",
            _day(day) if (len(days) - 1 - number) % every == 0 else "",
        )
        for number, (day, left, total) in enumerate(zip(days, lefts, totals, strict=True))
    )
    grid = tuple(
        GridLine(_px(plot * 10 - _tenths(value, ceiling, plot)), _amount(value, is_money=is_money, short=True))
        for value in range(0, ceiling + 1, step)
    )
    return Chart(width, height, plot, LABELS, _px(slot), grid, columns, _paths(heights, lefts, slot, plot))


def _paths(heights: Sequence[Sequence[int]], lefts: Sequence[int], slot: int, plot: int) -> tuple[str, ...]:
    """One path for each series: its part of every bar, on top of the parts of the series before."""
    bar = max(slot * 3 // 4, 10)
    bottoms = [plot * 10] * len(lefts)
    paths = []
    for tall in heights:
        parts = []
        for number, tenths in enumerate(tall):
            if tenths:
                x, y, high = _px(lefts[number] + (slot - bar) // 2), _px(bottoms[number]), _px(tenths - GAP * 10)
                parts.append(f"M{x} {y}v-{high}h{_px(bar)}v{high}z")
                bottoms[number] -= tenths
        paths.append("".join(parts))
    return tuple(paths)


def _step(top: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50 … of which at most LINES_MAX reach the top."""
    step = 1
    while top > LINES_MAX * step:
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    return step


def _tenths(value: int, ceiling: int, plot: int) -> int:
    """How tall a value is, in tenths of a pixel; something is never drawn as nothing."""
    return max(value * (plot - HEAD) * 10 // ceiling, 2 * GAP * 10 if value else 0)


def _amount(value: int, *, is_money: bool, short: bool = False) -> str:
    if not is_money:
        return f"{value:,}" if short else say("%(count)s calls", count=f"{value:,}")
    text = exact(Money(value), 9 if short else 6)
    return text.removesuffix(".00") if short else text


def _day(day: date) -> str:
    return f"{day.day} {day:%b}"


def _px(tenths: int) -> str:
    return f"{tenths // 10}.{tenths % 10}".removesuffix(".0")
