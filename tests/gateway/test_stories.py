"""Three of the fifteen failure stories that other products had with money, told with their good end: calls.

Which test and which guard stands for each story: docs/payment-proofs.md.
"""

import asyncio

import pytest

from pouch.base.ids import new_id
from pouch.base.money import ZERO, Money
from pouch.ledger.limits import set_limit
from pouch.ledger.operations import Hold, Release
from pouch.ledger.posting import post
from support.gateway import Gateway, running_gateway
from support.upstream import Exchange, chunk, completion, usage

pytestmark = pytest.mark.anyio

TEN = Money.parse("10")


async def left_in_the_middle(gateway: Gateway) -> None:
    """A caller who reads one line of a stream and is gone."""
    body = {"model": "up/paid", "stream": True, "messages": [{"role": "user", "content": "y" * 40}], "max_tokens": 500}
    headers = {"authorization": f"Bearer {gateway.secret}"}
    async with gateway.client.stream(
        "POST", f"{gateway.url}/v1/chat/completions", json=body, headers=headers
    ) as answer:
        async for _ in answer.aiter_lines():
            break


async def speak_and_wait(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.event(chunk({"content": "x" * 400}))
    await exchange.until_gone()


async def test_story_09_nothing_stays_reserved_and_the_whole_balance_can_be_used(gateway: Gateway) -> None:
    """Calls whose upstream fails and callers who leave: afterwards nothing is held, and all that is left is usable."""

    async def fail(exchange: Exchange) -> None:
        await exchange.answer({"error": {"message": "no"}}, status=500)

    gateway.upstream.script = fail
    await asyncio.gather(*(gateway.call(max_tokens=100) for _ in range(3)))
    gateway.upstream.script = speak_and_wait
    await left_in_the_middle(gateway)
    has = await gateway.at_rest()
    assert has.held == ZERO
    async with gateway.database.transaction() as db:
        all_of_it = Hold(new_id(), gateway.alice.organization_id, has.posted.nanos)
        await post(db, [all_of_it, Release(all_of_it)])


async def test_story_10_who_leaves_pays_for_what_was_made_and_a_zero_is_a_zero(gateway: Gateway) -> None:
    gateway.upstream.script = speak_and_wait
    await left_in_the_middle(gateway)
    await gateway.at_rest()
    (call,) = await gateway.calls()
    assert (call.outcome, call.counts.output) == ("client_gone", 100)
    assert (await gateway.balance()).posted == TEN - Money(call.charged_nanos)

    async def nothing_used(exchange: Exchange) -> None:
        await exchange.answer(completion("for nothing", usage(0, 0)))

    gateway.upstream.script = nothing_used
    assert (await gateway.call(max_tokens=100)).status_code == 200
    await gateway.at_rest()
    (zero, _) = await gateway.calls()
    assert (zero.charged_nanos, zero.is_estimated) == (0, False)


async def test_story_15_a_refusal_has_one_reason_and_one_remedy(database_url: str) -> None:
    """A key's limit is no lack of credits, a lack of credits says where to buy, and free models ask for neither."""
    async with running_gateway(database_url, credits_usd="10") as gateway:
        async with gateway.database.transaction() as db:
            await set_limit(db, gateway.key.id, kind="key", cap=Money.parse("0.0001"))
        limited = (await gateway.call(max_tokens=4000)).json()["error"]
        assert (limited["code"], limited["metadata"]["limit_source"]) == (402, "key_limit")
        poor = await gateway.newcomer("0")
        refused = (await poor.call(max_tokens=100)).json()["error"]
        assert (refused["code"], refused["metadata"]["limit_source"]) == (402, "credits")
        assert refused["metadata"]["topup_url"] == "https://pouch.example/billing"
        assert (await poor.call(model="up/free")).status_code == 200
