import pytest
from hypothesis import given
from hypothesis import strategies as st

from pouch.catalog.counts import TOKENS_MAX, counts_from_openai
from pouch.catalog.errors import UnusableUsage
from pouch.catalog.types import Counts


def test_plain_usage_is_input_and_output() -> None:
    usage = {"prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 21}
    assert counts_from_openai(usage) == Counts(input=12, output=9)


def test_cached_tokens_are_part_of_the_prompt() -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 60}}
    assert counts_from_openai(usage) == Counts(input=40, cache_read=60, output=1)


def test_cache_writes_are_read_under_both_their_names() -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 1}
    wanted = Counts(input=70, cache_write_5m=30, output=1)
    assert counts_from_openai({**usage, "cache_creation_input_tokens": 30}) == wanted
    assert counts_from_openai({**usage, "prompt_tokens_details": {"cache_write_tokens": 30}}) == wanted


def test_reasoning_is_part_of_the_completion() -> None:
    usage = {
        "prompt_tokens": 5,
        "completion_tokens": 50,
        "total_tokens": 55,
        "completion_tokens_details": {"reasoning_tokens": 30},
    }
    assert counts_from_openai(usage) == Counts(input=5, output=20, reasoning=30)


def test_reasoning_beside_the_completion_is_told_by_the_total() -> None:
    """Some upstreams count reasoning on top; without it the dearest part of a call would be free."""
    usage = {
        "prompt_tokens": 32,
        "completion_tokens": 9,
        "total_tokens": 135,
        "completion_tokens_details": {"reasoning_tokens": 94},
    }
    assert counts_from_openai(usage) == Counts(input=32, output=9, reasoning=94)


def test_what_says_nothing_counts_as_nothing() -> None:
    usage = {
        "prompt_tokens": 1,
        "completion_tokens": 0,
        "prompt_tokens_details": None,
        "completion_tokens_details": {"reasoning_tokens": None},
        "cache_creation_input_tokens": None,
    }
    assert counts_from_openai(usage) == Counts(input=1)


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"prompt_tokens": 1},
        {"prompt_tokens": None, "completion_tokens": 1},
        {"prompt_tokens": -1, "completion_tokens": 1},
        {"prompt_tokens": 1, "completion_tokens": -1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": 1.0, "completion_tokens": 1},
        {"prompt_tokens": "1", "completion_tokens": 1},
        {"prompt_tokens": TOKENS_MAX + 1, "completion_tokens": 1},
        {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}},
        {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": -3}},
        {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": [3]},
        {
            "prompt_tokens": 5,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": 3},
            "cache_creation_input_tokens": 3,
        },
        {"prompt_tokens": 5, "completion_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 2}},
    ],
)
def test_usage_that_cannot_be_true_is_refused(usage: dict[str, object]) -> None:
    with pytest.raises(UnusableUsage):
        counts_from_openai(usage)


numbers = st.one_of(st.none(), st.booleans(), st.integers(-5, 50), st.floats(), st.text(max_size=3))


@given(
    prompt=numbers, completion=st.integers(-5, 50), total=numbers, cached=numbers, written=numbers, reasoning=numbers
)
def test_whatever_an_upstream_sends_is_refused_or_adds_up(
    *, prompt: object, completion: int, total: object, cached: object, written: object, reasoning: object
) -> None:
    """Accepted parts always sum to the whole that was reported."""
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": total,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
        "cache_creation_input_tokens": written,
    }
    try:
        counts = counts_from_openai(usage)
    except UnusableUsage:
        return
    assert counts.input_total == prompt
    assert counts.output_total - completion in {0, counts.reasoning}
