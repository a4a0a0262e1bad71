"""The OpenAI SDK 5.12 for Node, which Roo Code ships with, run with Roo's exact headers and bodies."""

import asyncio
from decimal import Decimal
from uuid import uuid4

from pouch.base.money import ZERO
from pouch.usage.store import newest_calls
from pouch.usage.types import Call
from sdks.accounts import add_customer, spent_by
from sdks.node_sdk import NodeSdk
from support.people import Customer, committing
from support.pouch import RunningPouch

TEXT = "one two three"


def test_a_turn_of_a_task_is_read_as_roo_reads_it(node_sdk: NodeSdk, pouch: RunningPouch) -> None:
    alice, task = add_customer(pouch, "roo-sdk@example.com"), str(uuid4())
    printed = node_sdk.run("roo.mjs", "pouch/coder", task, TEXT, pouch=pouch, key=alice.secret)
    (called,) = printed["calls"]
    assert (called["name"], printed["finish"]) == ("read_file", "tool_calls")
    assert called["id"]
    assert '"path"' in called["arguments"]
    assert printed["said"]
    assert printed["usage"]["prompt_tokens"] == 6
    assert printed["plain"]
    assert printed["requests"] == 2
    calls = asyncio.run(calls_of(pouch, alice))
    assert [(call.app, call.task_id) for call in calls] == [("Roo Code", ""), ("Roo Code 3.52.1", task)]
    assert spent_by(pouch, alice) == sum(Decimal(call.charged.decimal()) for call in calls)
    assert printed["usage"]["cost"] == Decimal(calls[1].charged.decimal())


def test_words_alone_come_in_chunks_that_all_have_choices(node_sdk: NodeSdk, pouch: RunningPouch) -> None:
    alice = add_customer(pouch, "roo-sdk-words@example.com")
    printed = node_sdk.run("roo.mjs", "pouch/paid", str(uuid4()), TEXT, pouch=pouch, key=alice.secret)
    assert (printed["said"], printed["calls"], printed["finish"], printed["plain"]) == (TEXT, [], "stop", TEXT)


def test_it_does_not_try_again_without_credits_or_a_key(node_sdk: NodeSdk, pouch: RunningPouch) -> None:
    """Its own retries would ask three times; `x-should-retry` says that it is in vain."""
    carol = add_customer(pouch, "roo-sdk-poor@example.com", ZERO)
    refused = node_sdk.run("roo.mjs", "pouch/paid", str(uuid4()), TEXT, pouch=pouch, key=carol.secret)
    assert (refused["error"]["status"], refused["requests"]) == (402, 1)
    assert f"{pouch.url}/billing" in refused["error"]["message"]
    unknown = node_sdk.run("roo.mjs", "pouch/paid", str(uuid4()), TEXT, pouch=pouch, key="unauthenticated")
    assert (unknown["error"]["status"], unknown["requests"]) == (401, 1)


async def calls_of(pouch: RunningPouch, customer: Customer) -> list[Call]:
    async with committing(pouch.ends.database_url) as db:
        return await newest_calls(db, customer.organization_id, limit=10)
