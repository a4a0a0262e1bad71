import re
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pouch.usage.chart import LINES_MAX, draw

DAYS = [date(2026, 10, 26) + timedelta(days=number) for number in range(30)]


def test_bars_stand_on_each_other_and_the_tallest_reaches_the_top_line() -> None:
    first, second = {DAYS[0]: 3 * 10**9}, {DAYS[0]: 2 * 10**9, DAYS[29]: 10**9}
    chart = draw(DAYS, [first, second], is_money=True, width=1040, height=232, every=4)
    assert [line.label for line in chart.grid] == ["$0", "$1", "$2", "$3", "$4", "$5"]
    lower, upper = (re.match(r"M([\d.]+) ([\d.]+)v-([\d.]+)", path) for path in chart.paths)
    assert lower
    assert upper
    assert lower[1] == upper[1]
    assert float(lower[2]) - float(lower[3]) - 1 == pytest.approx(float(upper[2]), abs=0.11)
    assert float(chart.grid[-1].y) == 8
    assert chart.columns[0].title == "26 Oct: $5.00"
    assert chart.columns[-1].label == "24 Nov"


def test_a_count_is_no_money() -> None:
    chart = draw(DAYS[:7], [{DAYS[0]: 12}], is_money=False, width=300, height=200, every=1)
    assert chart.columns[0].title == "26 Oct: 12 calls"
    assert [line.label for line in chart.grid] == ["0", "5", "10", "15"]


def test_an_empty_period_is_a_grid_without_bars() -> None:
    chart = draw(DAYS, [], is_money=True, width=1040, height=232, every=4)
    assert chart.paths == ()


@given(st.integers(1, 2**62))
def test_the_grid_has_few_round_lines_and_holds_any_amount(amount: int) -> None:
    chart = draw(DAYS, [{DAYS[3]: amount}], is_money=True, width=1040, height=232, every=4)
    assert 2 <= len(chart.grid) <= LINES_MAX + 1
    found = re.match(r"M([\d.]+) ([\d.]+)v-([\d.]+)", chart.paths[0])
    assert found
    assert float(found[2]) - float(found[3]) >= 8
