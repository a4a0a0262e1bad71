"""Callers who leave and upstreams that break off: what is charged, and that nothing stays held."""

import asyncio

import httpx
import pytest

from pouch.base.money import Money
from support.gateway import Gateway, events_of
from support.upstream import Exchange, chunk, completion, usage, usage_chunk

pytestmark = pytest.mark.anyio

TEN = Money.parse("10")


async def test_a_caller_who_leaves_a_stream_pays_for_what_was_produced(gateway: Gateway) -> None:
    """400 bytes of output are 100 tokens by estimate; the upstream is stopped."""
    is_stopped = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.event(chunk({"content": "x" * 400}))
        await exchange.until_gone()
        is_stopped.set()

    gateway.upstream.script = script
    body = {"model": "up/paid", "stream": True, "messages": [{"role": "user", "content": "y" * 40}], "max_tokens": 500}
    headers = {"authorization": f"Bearer {gateway.secret}"}
    url = f"{gateway.url}/v1/chat/completions"
    async with gateway.client.stream("POST", url, json=body, headers=headers) as answer:
        async for _ in answer.aiter_lines():
            break
    async with asyncio.timeout(10):
        await is_stopped.wait()
    await gateway.at_rest()
    (call,) = await gateway.calls()
    assert (call.outcome, call.is_estimated) == ("client_gone", True)
    assert (call.counts.input, call.counts.output) == ((40 + len("user")) // 4, 100)
    assert (await gateway.balance()).posted == TEN - Money(call.charged_nanos)


async def test_a_caller_who_leaves_where_output_is_invisible_pays_the_reported_usage(gateway: Gateway) -> None:
    """A whole answer and a reasoning model: the answer is read on to its usage after the caller has left."""
    for model, stream in (("up/paid", False), ("up/reasoning", True)):
        has_left = asyncio.Event()

        async def script(exchange: Exchange, has_left: asyncio.Event = has_left) -> None:
            if exchange.body.get("stream"):
                await exchange.begin_stream()
                await exchange.event(chunk({"content": "a"}))
            has_left.set()
            async with asyncio.timeout(10):
                while not gateway.chat.flights.deserted:
                    await asyncio.sleep(0.01)
            if exchange.body.get("stream"):
                await exchange.event(chunk({}, "stop"))
                await exchange.event(usage_chunk(usage(11, 22)))
                await exchange.event(b"[DONE]")
                await exchange.end_stream()
            else:
                await exchange.answer(completion("late", usage(11, 22)))

        gateway.upstream.script = script
        task = asyncio.create_task(gateway.call(model=model, stream=stream))
        await has_left.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await gateway.at_rest()
        (call, *_) = await gateway.calls()
        assert (call.outcome, call.is_estimated) == ("client_gone", False)
        assert (call.counts.input_total, call.counts.output_total) == (11, 22)


async def test_a_stream_that_breaks_off_before_anything_was_sent_costs_nothing(gateway: Gateway) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.begin_stream()
        exchange.reset()

    gateway.upstream.script = script
    answer = await gateway.call(stream=True)
    assert answer.status_code == 502
    assert (await gateway.at_rest()).posted == TEN


async def test_a_stream_that_breaks_off_later_says_so_and_charges_what_was_sent(gateway: Gateway) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.event(chunk({"content": "z" * 80}))
        exchange.reset()

    gateway.upstream.script = script
    answer = await gateway.call(stream=True)
    events = events_of(answer.content)
    assert answer.status_code == 200
    assert events[-1]["error"]["type"] == "upstream_error"
    assert "[DONE]" not in events
    await gateway.at_rest()
    (call,) = await gateway.calls()
    assert (call.outcome, call.is_estimated, call.counts.output) == ("cut", True, 20)


async def test_usage_that_cannot_be_true_is_not_billed(gateway: Gateway) -> None:
    """Missing, garbled, negative, or a thousand times more than fits: the text is counted instead."""
    lies: list[dict[str, object]] = [
        {"prompt_tokens": "many", "completion_tokens": 5},
        usage(-5, 5),
        usage(2**40, 5),
        usage(10, 50_000_000),
        {"prompt_tokens": 1, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 99}},
        {},
    ]
    for lie in lies:

        async def script(exchange: Exchange, lie: dict[str, object] = lie) -> None:
            await exchange.answer(completion("w" * 40, lie))

        gateway.upstream.script = script
        answer = await gateway.call()
        assert answer.status_code == 200
        assert answer.json()["usage"]["is_estimated"] is True
        await gateway.at_rest()
        (call, *_) = await gateway.calls()
        assert (call.is_estimated, call.counts.output) == (True, 10)


async def test_a_cost_above_the_hold_never_takes_the_balance_below_zero(gateway: Gateway) -> None:
    """The upstream gives more than max_tokens: the customer pays up to what is there, the operator the rest."""

    async def script(exchange: Exchange) -> None:
        await exchange.answer(completion("x", usage(10, 9_000)))

    gateway.upstream.script = script
    await gateway.call(max_tokens=1)
    has = await gateway.at_rest()
    assert has.posted == TEN - Money(10 * 1000 + 9_000 * 2000)


async def test_a_fenced_process_closes_its_streams(gateway: Gateway) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.event(chunk({"content": "x" * 40}))
        async with asyncio.timeout(10):
            while not any(flight.is_begun for flight in gateway.chat.flights.under_way):
                await asyncio.sleep(0.01)
        gateway.chat.flights.stop_all("fenced")
        await exchange.until_gone()

    gateway.upstream.script = script
    # The stream ends without its end, so that the caller can tell.
    with pytest.raises(httpx.RemoteProtocolError):
        await gateway.call(stream=True)
    await gateway.at_rest()
    (call,) = await gateway.calls()
    assert call.outcome == "cut"
