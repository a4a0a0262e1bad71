"""The official Node SDK, unmodified, against a running Pouch."""

from decimal import Decimal

import pytest

from pouch.base.money import ZERO
from sdks.accounts import add_customer, spent_by
from sdks.node_sdk import NodeSdk
from support.pouch import RunningPouch

TEXT = "one two three four five"
COST = Decimal("0.000015")
"""Five words in at $1, five out at $2 a million."""


@pytest.fixture(scope="module")
def key(pouch: RunningPouch) -> str:
    return add_customer(pouch, "node@example.com").secret


def test_it_chats(node_sdk: NodeSdk, pouch: RunningPouch, key: str) -> None:
    printed = node_sdk.run("chat.mjs", "pouch/paid", TEXT, pouch=pouch, key=key)
    assert printed["generation"].startswith("gen_")
    (choice,) = printed["answer"]["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (TEXT, "stop")
    assert (printed["answer"]["usage"]["total_tokens"], printed["answer"]["usage"]["cost"]) == (10, COST)


def test_it_streams_and_gets_the_usage_it_asked_for(node_sdk: NodeSdk, pouch: RunningPouch, key: str) -> None:
    printed = node_sdk.run("stream.mjs", "pouch/paid", TEXT, "usage", pouch=pouch, key=key)
    *before, last = printed["chunks"]
    assert text_of(before) == TEXT
    assert not any(chunk.get("usage") for chunk in before)
    assert (last["choices"], last["usage"]["cost"]) == ([], COST)


def test_it_streams_and_finds_the_usage_beside_the_finish_reason(
    node_sdk: NodeSdk, pouch: RunningPouch, key: str
) -> None:
    """Programs that index into `choices` never meet an empty list unless they asked for usage."""
    chunks = node_sdk.run("stream.mjs", "pouch/paid", TEXT, pouch=pouch, key=key)["chunks"]
    assert text_of(chunks) == TEXT
    assert all(chunk["choices"] for chunk in chunks)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["cost"] == COST


@pytest.mark.parametrize("how", [(), ("streamed",)], ids=["whole", "streamed"])
def test_its_tool_runner_works_until_the_model_ends(
    node_sdk: NodeSdk, pouch: RunningPouch, how: tuple[str, ...]
) -> None:
    """The model calls a tool, the SDK runs it and gives back the result, twice; then the model is done."""
    alice = add_customer(pouch, f"node-tools{len(how)}@example.com")
    printed = node_sdk.run("tools.mjs", "pouch/coder", *how, pouch=pouch, key=alice.secret)
    assert printed["last"] == "The program is written and tested."
    program = printed["files"]["hello.py"]
    assert printed["files"] == {"hello.py": 'print("Hello from Pouch")\n'}
    assert [message["role"] for message in printed["messages"]] == ["user", *["assistant", "tool"] * 2, "assistant"]
    results = [message["content"] for message in printed["messages"] if message["role"] == "tool"]
    assert results == [f"Wrote {len(program)} characters.", program]
    assert len(printed["usages"]) == 3
    assert spent_by(pouch, alice) == sum(usage["cost"] for usage in printed["usages"]) > 0


def test_its_errors_say_what_to_do(node_sdk: NodeSdk, pouch: RunningPouch, key: str) -> None:
    unknown = node_sdk.run("chat.mjs", "gpt-9", TEXT, pouch=pouch, key=key)["error"]
    assert (unknown["name"], unknown["status"]) == ("NotFoundError", 404)
    carol = add_customer(pouch, "node-poor@example.com", ZERO)
    refused = node_sdk.run("chat.mjs", "pouch/paid", TEXT, pouch=pouch, key=carol.secret)["error"]
    assert (refused["status"], refused["type"]) == (402, "insufficient_credits")
    assert refused["metadata"]["limit_source"] == "credits"
    assert f"Buy credits: {pouch.url}/billing" in refused["message"]


def text_of(chunks: list[dict[str, list[dict[str, dict[str, str]]]]]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
