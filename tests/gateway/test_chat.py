"""Chat completions: what the caller gets and what is charged, when all goes well."""

import asyncio
import os
import signal
from decimal import Decimal

import pytest

from pouch.base.ids import read_id
from pouch.base.money import ZERO, Money
from pouch.catalog.apply import apply
from support.gateway import Gateway, file_for
from support.upstream import Exchange, chunk, completion, usage, usage_chunk, words_of

pytestmark = pytest.mark.anyio


def cost(prompt: int, output: int) -> Money:
    """By hand: $1 and $2 per million."""
    return Money(prompt * 1000 + output * 2000)


async def test_a_call_costs_its_tokens_times_the_price_to_the_nano_dollar(gateway: Gateway) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(completion("Hello there", usage(1234, 567)))

    gateway.upstream.script = script
    answer = await gateway.call()
    assert answer.status_code == 200
    spent = cost(1234, 567)
    assert Decimal(str(answer.json()["usage"]["cost"])) == Decimal(spent.decimal())
    assert answer.json()["choices"][0]["message"]["content"] == "Hello there"
    assert (await gateway.at_rest()).posted == Money.parse("10") - spent
    (call,) = await gateway.calls()
    assert call.id == read_id("gen", answer.headers["x-generation-id"])
    assert (call.counts.input, call.counts.output, call.charged_nanos) == (1234, 567, spent.nanos)
    assert (call.outcome, call.is_estimated, call.is_streamed) == ("done", False, False)


async def test_a_stream_that_asked_for_usage_gets_it_as_a_chunk_of_its_own(gateway: Gateway) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.stream(words_of(3))

    gateway.upstream.script = script
    status, events = await gateway.stream(stream_options={"include_usage": True})
    assert status == 200
    assert [event["choices"][0]["delta"].get("content") for event in events[:3]] == ["word0 ", "word1 ", "word2 "]
    assert events[3]["choices"][0]["finish_reason"] == "stop"
    assert "usage" not in events[3]
    assert events[4]["choices"] == []
    assert events[4]["usage"] == usage(10, 3) | {"cost": 0.000016}
    assert events[5] == "[DONE]"
    assert len(events) == 6
    assert (await gateway.at_rest()).posted == Money.parse("10") - cost(10, 3)


async def test_a_stream_that_did_not_ask_gets_the_usage_on_its_last_chunk(gateway: Gateway) -> None:
    async def script(exchange: Exchange) -> None:
        assert exchange.body["stream_options"] == {"include_usage": True}
        await exchange.stream(words_of(2))

    gateway.upstream.script = script
    _, events = await gateway.stream()
    assert len(events) == 4
    assert events[2]["choices"][0]["finish_reason"] == "stop"
    assert events[2]["usage"]["cost"] == 0.000014
    assert events[3] == "[DONE]"


async def test_a_chunk_without_choices_gets_an_empty_list(gateway: Gateway) -> None:
    """Roo Code indexes into `choices` of every chunk."""

    async def script(exchange: Exchange) -> None:
        bare = usage_chunk(usage(10, 1))
        del bare["choices"]
        await exchange.stream([{"id": "c1", "note": 1}, chunk({"content": "a"}), chunk({}, "stop"), bare, b"[DONE]"])

    gateway.upstream.script = script
    _, events = await gateway.stream(stream_options={"include_usage": True})
    assert all(isinstance(event["choices"], list) for event in events[:-1])
    assert events[-2]["usage"]["cost"] == 0.000012


async def test_cached_and_reasoning_tokens_are_counted_apart(gateway: Gateway) -> None:
    async def script(exchange: Exchange) -> None:
        spent = usage(
            1000,
            100,
            prompt_tokens_details={"cached_tokens": 400},
            completion_tokens_details={"reasoning_tokens": 60},
        )
        await exchange.answer(completion("x", spent))

    gateway.upstream.script = script
    await gateway.call()
    await gateway.at_rest()
    (call,) = await gateway.calls()
    counts = call.counts
    assert (counts.input, counts.cache_read, counts.output, counts.reasoning) == (600, 400, 40, 60)


async def test_what_the_client_sent_goes_on_but_for_what_we_own(gateway: Gateway) -> None:
    await gateway.call(model="up/small", temperature=0.5, max_tokens=999, custom={"a": [1, None]})
    (seen,) = gateway.upstream.seen
    assert seen["model"] == "up"
    assert seen["temperature"] == 0.5
    assert seen["custom"] == {"a": [1, None]}
    assert seen["max_tokens"] == 50


async def test_the_upstream_is_asked_with_its_own_key(gateway: Gateway) -> None:
    keys: list[str] = []

    async def script(exchange: Exchange) -> None:
        keys.append(exchange.headers["authorization"])
        await exchange.answer(completion("x"))

    gateway.upstream.script = script
    await gateway.call()
    assert keys == ["Bearer the-upstream-key"]


async def test_a_name_that_stands_twice_reaches_the_upstream_once(gateway: Gateway) -> None:
    """The upstream must not read another max_tokens than the one the call was held for."""
    body = b'{"model":"up/paid","max_tokens":1,"max_tokens":7,"messages":[{"role":"user","content":"hi"}]}'
    headers = {"authorization": f"Bearer {gateway.secret}"}
    answer = await gateway.client.post(f"{gateway.url}/v1/chat/completions", content=body, headers=headers)
    assert answer.status_code == 200
    assert gateway.upstream.seen[0]["max_tokens"] == 7


async def test_a_free_model_needs_no_credits_and_leaves_a_record(gateway: Gateway) -> None:
    answer = await gateway.call(model="up/free")
    assert answer.json()["usage"]["cost"] == 0
    assert await gateway.at_rest() == await gateway.balance()
    assert (await gateway.balance()).posted == Money.parse("10")
    (call,) = await gateway.calls()
    assert (call.model_id, call.price_id, call.charged_nanos) == ("up/free", None, 0)


async def test_the_three_prefixes_are_the_same_endpoint(gateway: Gateway) -> None:
    body = {"model": "up/paid", "messages": [{"role": "user", "content": "hi"}]}
    for prefix in ("/v1", "/proxy/v1", "/api/v1"):
        answer = await gateway.client.post(
            f"{gateway.url}{prefix}/chat/completions", json=body, headers={"authorization": f"Bearer {gateway.secret}"}
        )
        assert answer.status_code == 200
    assert (await gateway.at_rest()).posted == Money.parse("10") - cost(30, 15)


async def test_an_idempotency_key_never_starts_a_second_call(gateway: Gateway) -> None:
    first = await gateway.call(headers={"idempotency-key": "once"})
    again = await gateway.call(headers={"idempotency-key": "once"})
    assert (first.status_code, again.status_code) == (200, 409)
    assert again.json()["error"]["metadata"]["generation_id"] == first.headers["x-generation-id"]
    assert len(gateway.upstream.seen) == 1


async def test_an_idempotency_key_of_a_call_that_was_not_charged_may_be_used_again(gateway: Gateway) -> None:
    async def broken(exchange: Exchange) -> None:
        await exchange.answer({"error": {"message": "no"}}, status=500)

    async def works(exchange: Exchange) -> None:
        await exchange.answer(completion("x"))

    gateway.upstream.script = broken
    assert (await gateway.call(headers={"idempotency-key": "k"})).status_code == 502
    gateway.upstream.script = works
    assert (await gateway.call(headers={"idempotency-key": "k"})).status_code == 200
    assert (await gateway.at_rest()).held == ZERO


async def test_a_call_is_settled_once(gateway: Gateway) -> None:
    """One hold and one capture, whatever becomes of the call afterwards; a call that failed is given back once."""
    before = gateway.writer.figures.operations
    await gateway.call()
    await gateway.at_rest()
    assert gateway.writer.figures.operations == before + 2

    async def broken(exchange: Exchange) -> None:
        await exchange.answer({}, status=500)

    gateway.upstream.script = broken
    await gateway.call()
    await gateway.at_rest()
    assert gateway.writer.figures.operations == before + 4


async def test_the_price_at_admission_bills_the_call(gateway: Gateway) -> None:
    """The price is raised a hundred times while the call runs."""

    async def script(exchange: Exchange) -> None:
        async with gateway.database.transaction() as db:
            file = file_for(gateway.upstream.url)
            dearer = [
                model.model_copy(update={"price": {name: Money(rate.nanos * 3) for name, rate in model.price.items()}})
                if model.price
                else model
                for model in file.models
            ]
            await apply(db, file.model_copy(update={"models": dearer}), source="test")
        await gateway.catalog.load()
        await exchange.answer(completion("x", usage(1000, 100)))

    gateway.upstream.script = script
    await gateway.call()
    assert (await gateway.at_rest()).posted == Money.parse("10") - cost(1000, 100)
    await gateway.call()
    assert (await gateway.at_rest()).posted == Money.parse("10") - cost(4000, 400)


async def test_nothing_of_the_end_is_sent_before_the_charge_is_committed(gateway: Gateway) -> None:
    """The database stops while the answer ends: the caller has the text and waits for the usage."""

    async def script(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.event(chunk({"content": "Hello"}))
        await is_read.wait()
        for event in (chunk({}, "stop"), usage_chunk(usage(10, 1)), b"[DONE]"):
            await exchange.event(event)
        await exchange.end_stream()

    is_read, came = asyncio.Event(), b""
    gateway.upstream.script = script
    body = {"model": "up/paid", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {gateway.secret}"}
    url = f"{gateway.url}/v1/chat/completions"
    async with gateway.client.stream("POST", url, json=body, headers=headers) as answer:
        pieces = answer.aiter_bytes()
        while b"Hello" not in came:
            came += await anext(pieces)
        pid = gateway.writer.backend_pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            is_read.set()
            rest = asyncio.ensure_future(anext(pieces))
            async with asyncio.timeout(10):
                while gateway.writer.in_flight_age_s < 0.1:
                    await asyncio.sleep(0.01)
            assert not rest.done()
        finally:
            os.kill(pid, signal.SIGCONT)
        came += await rest
        async for piece in pieces:
            came += piece
    assert b'"cost"' in came
    assert came.endswith(b"data: [DONE]\n\n")
