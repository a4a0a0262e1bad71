"""The hold is an upper bound: whatever a request can come to, the bound is not below it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pouch.gateway.bound import ANSWERS_MAX, IMAGE_TOKENS, MESSAGE_TOKENS, TOOLS_TOKENS, input_bound, output_bound
from pouch.gateway.errors import BadRequest


def said(*contents: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content} for content in contents]} | more


EMPTY = input_bound(said("")).tokens_max


@given(st.lists(st.text(), min_size=1))
def test_a_text_is_bounded_by_its_bytes(texts: list[str]) -> None:
    """A byte-level tokenizer makes at most a token of each byte; every message costs a few more."""
    bound = input_bound(said(*texts))
    assert bound.tokens_max >= sum(len(text.encode()) for text in texts) + MESSAGE_TOKENS * len(texts)
    assert bound.text_bytes >= sum(len(text.encode()) for text in texts)


@given(st.text())
def test_a_text_counts_the_same_wherever_it_stands(text: str) -> None:
    size = len(text.encode())
    parts = [{"type": "text", "text": text}]
    assert input_bound(said(parts)).tokens_max == input_bound(said(text)).tokens_max
    for field in ("tools", "functions", "response_format", "stop", "user", "metadata"):
        assert input_bound(said("", **{field: [text]})).tokens_max >= EMPTY + size
    named = {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"function": {"arguments": text}}]}]}
    assert input_bound(named).tokens_max >= size


def test_images_and_tools_have_their_allowance() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    bound = input_bound(said([image, image]))
    assert (bound.images, bound.tokens_max - EMPTY) == (2, 2 * IMAGE_TOKENS)
    assert input_bound(said("", tools=[{}])).tokens_max >= EMPTY + TOOLS_TOKENS


@pytest.mark.parametrize(
    ("asked", "most"),
    [
        ({}, 4000),
        ({"max_tokens": 10}, 10),
        ({"max_tokens": 10_000}, 4000),
        ({"max_tokens": 10, "max_completion_tokens": 30}, 30),
        ({"max_tokens": 10, "n": 3}, 30),
        ({"n": 3}, 12_000),
        ({"n": ANSWERS_MAX, "max_tokens": 1}, 8),
        ({"max_tokens": 10, "prediction": {"type": "content", "content": "x" * 100}}, 10 + 100),
    ],
)
def test_the_output_is_bounded_for_every_answer_that_is_asked_for(asked: dict[str, object], most: int) -> None:
    bound = output_bound(asked, 4000).tokens_max
    assert bound == most if "prediction" not in asked else bound >= most


@pytest.mark.parametrize("n", [0, -1, 9, 1.0, True, "2"])
def test_an_odd_number_of_answers_is_refused(n: object) -> None:
    with pytest.raises(BadRequest):
        output_bound({"n": n}, 4000)
