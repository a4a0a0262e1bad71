"""Bracketed form bodies."""

import pytest

from pouch.embedded.cards.errors import Refusal
from pouch.embedded.cards.form import Form, decode


def test_brackets_become_nested_groups() -> None:
    tree = decode("a=1&b[c]=2&b[d][0][e]=%24+3&b[d][1][e]=4&x[]=5&x[]=6")
    assert tree == {"a": "1", "b": {"c": "2", "d": {"0": {"e": "$ 3"}, "1": {"e": "4"}}}, "x": {"0": "5", "1": "6"}}


@pytest.mark.parametrize("body", ["a=1&a[b]=2", "[a]=1", "a[=1", "a]b=1", "a[b]c=1", "a=%ff", "&".join(["a=1"] * 501)])
def test_a_body_that_means_nothing_is_refused(body: str) -> None:
    with pytest.raises(Refusal):
        decode(body)


def test_lists_come_in_order_even_past_nine() -> None:
    form = Form(decode("&".join(f"types[{index}]=t{index}" for index in range(12))))
    assert form.texts("types") == [f"t{index}" for index in range(12)]
    form.end()


@pytest.mark.parametrize("text", ["-1", "1.5", "1e3", "\u0661", "1" * 12, "0x1"])
def test_only_whole_plain_numbers_are_numbers(text: str) -> None:
    with pytest.raises(Refusal):
        Form({"amount": text}).whole("amount")


def test_what_nobody_read_is_refused_with_its_full_name() -> None:
    form = Form(decode("a[b]=1&a[c]=2"))
    assert form.group("a").text("b") == "1"
    with pytest.raises(Refusal, match=r"a\[c\]"):
        form.end()
