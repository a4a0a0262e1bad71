"""Whatever a caller does, it gets, is charged and finds written down what docs/faults.md says."""

import asyncio
from collections.abc import Awaitable, Callable

import orjson
import pytest

from faults.caller import REQUEST, Caller, connected, status_of
from faults.registry import DONE, MEGABYTE, SPENT, STOP, TEXT, begin, is_stream, proper
from faults.table import Row, rows_under
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.gateway.flights import Flight
from pouch.ledger.operations import Hold, Release
from support.gateway import Gateway
from support.upstream import Exchange, chunk, usage_chunk

pytestmark = pytest.mark.anyio

ROWS = rows_under("At the caller's end")
STOPS = rows_under("Stopped by ourselves")
TEN = Money.parse("10")
INPUT_COUNTED = len("user" + "Say something") // 4

Story = Callable[[Gateway, bool], Awaitable[str]]
"""Plays a row and says what the caller got. The flag: whether it asked for a stream."""
STORIES: dict[str, Story] = {}


def story(name: str) -> Callable[[Story], Story]:
    def register(play: Story) -> Story:
        assert name not in STORIES
        STORIES[name] = play
        return play

    return register


def test_every_story_has_its_row_and_every_row_its_story() -> None:
    assert {row.fault for row in ROWS + STOPS} == STORIES.keys()


@pytest.mark.parametrize("row", ROWS + STOPS, ids=str)
async def test_a_caller_that(gateway: Gateway, row: Row) -> None:
    gateway.upstream.script = proper
    gets = await STORIES[row.fault](gateway, row.asked == "stream")
    assert gets == row.gets
    await settles(gateway, row)


async def settles(gateway: Gateway, row: Row) -> None:
    """What is charged and written down, once nothing is under way."""
    has = await gateway.at_rest()
    calls = await gateway.calls()
    outcomes = {"none": []}.get(row.outcome, [row.outcome] * (2 if row.gets.endswith("twice") else 1))
    assert [call.outcome for call in calls] == outcomes
    assert has.posted == TEN - Money(sum(call.charged_nanos for call in calls))
    for call in calls:
        counts = (call.counts.input_total, call.counts.output_total)
        match row.charged:
            case "nothing":
                assert (call.charged_nanos, counts) == (0, (0, 0))
            case "counted":
                assert call.is_estimated
                assert counts[0] == INPUT_COUNTED
                assert row.gets != "a part" or counts[1] == len(TEXT) // 4
            case "reported":
                assert counts == (SPENT["prompt_tokens"], SPENT["completion_tokens"])
        cost = counts[0] * 1000 + counts[1] * 2000
        assert call.charged_nanos == (min(cost, call.held_nanos) if call.is_estimated else cost)
    if row.outcome == "none":
        assert gateway.upstream.seen == []


async def flying(gateway: Gateway, condition: Callable[[Flight], bool] = lambda _flight: True) -> None:
    """Wait for a call under way of which this is true."""
    await until(lambda: any(condition(flight) for flight in gateway.chat.flights.under_way))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


class Scene:
    """An upstream that says when it was reached and goes on when it is told."""

    def __init__(self, gateway: Gateway) -> None:
        self.reached, self.may_go_on = asyncio.Event(), asyncio.Event()
        self.is_stopped = asyncio.Event()
        gateway.upstream.script = self.play

    async def play(self, exchange: Exchange) -> None:
        self.reached.set()
        await self.may_go_on.wait()
        await proper(exchange)


class Hanging(Scene):
    """An upstream that stops after its first words, or before, and sees when it is left."""

    async def play(self, exchange: Exchange) -> None:
        if is_stream(exchange) and self.may_go_on.is_set():
            await begin(exchange)
        self.reached.set()
        await exchange.until_gone()
        self.is_stopped.set()


# ---------------------------------------------------------------- leaving


@story("leaves while it sends its body")
async def leaves_sending(gateway: Gateway, _stream: bool) -> str:
    async with connected(gateway) as caller:
        await caller.send(caller.head("content-length: 500") + b'{"model": "up/paid", ')
        caller.leave()
    return "nothing"


@story("leaves while its call waits in line for credits")
async def leaves_in_line(gateway: Gateway, _stream: bool) -> str:
    """All credits of the account are held by another call."""
    blocking = Hold(new_id(), gateway.alice.organization_id, TEN.nanos)
    await gateway.writer.hold(blocking)
    async with connected(gateway) as caller:
        await caller.ask()
        await until(lambda: gateway.writer.in_line)
        caller.leave()
        await until(lambda: not len(gateway.chat.flights))
    await gateway.writer.release(Release(blocking))
    return "nothing"


@story("leaves before the first byte")
async def leaves_early(gateway: Gateway, stream: bool) -> str:
    scene = Hanging(gateway)
    async with connected(gateway) as caller:
        await caller.ask(stream=stream)
        await scene.reached.wait()
        caller.leave()
    return "nothing"


async def leaves_in_the_middle(gateway: Gateway, leave: Callable[[Caller], None]) -> str:
    scene = Hanging(gateway)
    scene.may_go_on.set()
    async with connected(gateway) as caller:
        await caller.ask(stream=True)
        assert TEXT.encode() in await caller.until(b"\n\n")
        leave(caller)
        async with asyncio.timeout(10):
            await scene.is_stopped.wait()
    return "a part"


@story("leaves in the middle")
async def leaves_in_stream(gateway: Gateway, _stream: bool) -> str:
    return await leaves_in_the_middle(gateway, Caller.leave)


@story("resets the connection in the middle")
async def resets_in_stream(gateway: Gateway, _stream: bool) -> str:
    return await leaves_in_the_middle(gateway, Caller.reset)


@story("leaves before the answer")
async def leaves_before_answer(gateway: Gateway, stream: bool) -> str:
    scene = Scene(gateway)
    async with connected(gateway) as caller:
        await caller.ask(stream=stream)
        await scene.reached.wait()
        caller.leave()
    await flying(gateway, lambda flight: flight.is_gone)
    scene.may_go_on.set()
    return "nothing"


@story("leaves, and the upstream never ends")
async def leaves_for_ever(gateway: Gateway, stream: bool) -> str:
    """It sends a byte now and then, so it is not silent; the drain has its own end."""
    is_stopped = asyncio.Event()

    async def drip(exchange: Exchange) -> None:
        await exchange.raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 50000\r\n\r\n")
        reached.set()
        gone = asyncio.create_task(exchange.until_gone())
        while not gone.done():
            await exchange.raw(b" ")
            await asyncio.wait([gone], timeout=0.1)
        is_stopped.set()

    reached = asyncio.Event()
    gateway.upstream.script = drip
    async with connected(gateway) as caller:
        await caller.ask(stream=stream)
        await reached.wait()
        caller.leave()
        async with asyncio.timeout(10):
            await is_stopped.wait()
    return "nothing"


@story("leaves, and the upstream breaks off")
async def leaves_and_fails(gateway: Gateway, stream: bool) -> str:
    may_fail, reached = asyncio.Event(), asyncio.Event()

    async def script(exchange: Exchange) -> None:
        reached.set()
        await may_fail.wait()
        exchange.reset()

    gateway.upstream.script = script
    async with connected(gateway) as caller:
        await caller.ask(stream=stream)
        await reached.wait()
        caller.leave()
    await flying(gateway, lambda flight: flight.is_gone)
    may_fail.set()
    return "nothing"


@story("leaves after the last byte")
async def leaves_late(gateway: Gateway, stream: bool) -> str:
    async with connected(gateway) as caller:
        await caller.ask(stream=stream)
        answer = await caller.until(b"[DONE]\n\n\r\n0\r\n\r\n")
        caller.leave()
    return "the answer" if b'"cost"' in answer else "a part"


@story("closes its sending half after the request")
async def half_closes(gateway: Gateway, stream: bool) -> str:
    """A server cannot tell it from leaving before it writes; treating it so never bills an answer nobody reads."""
    scene = Hanging(gateway)
    async with connected(gateway) as caller:
        await caller.ask(stream=stream)
        await scene.reached.wait()
        caller.writer.write_eof()
        answer = await caller.answer()
    return status_of(answer) if answer else "nothing"


@story("never reads")
async def never_reads(gateway: Gateway, stream: bool) -> str:
    """The upstream pours a stream; back-pressure stops it long before the caller is given up."""
    poured, is_stopped = 0, asyncio.Event()

    async def script(exchange: Exchange) -> None:
        nonlocal poured
        await exchange.begin_stream()
        try:
            while True:
                await exchange.event(chunk({"content": "x" * 65536}))
                poured += 65536
        finally:
            is_stopped.set()

    gateway.upstream.script = script
    async with connected(gateway, reads=False) as caller:
        await caller.ask(stream=stream, max_tokens=4000)
        async with asyncio.timeout(20):
            await is_stopped.wait()
        assert poured < 32 * MEGABYTE
        await gateway.at_rest()
    return "nothing"


@story("never reads the last of it")
async def never_reads_the_end(gateway: Gateway, stream: bool) -> str:
    """All of the upstream's answer is there and charged; only the caller does not take it."""

    async def script(exchange: Exchange) -> None:
        long = chunk({"content": "x" * 8 * MEGABYTE})
        await exchange.stream([long, STOP, usage_chunk(SPENT), DONE])

    gateway.upstream.script = script
    async with connected(gateway, reads=False) as caller:
        await caller.ask(stream=stream)
        await flying(gateway, lambda flight: flight.is_answered)
        await gateway.at_rest()
    return "nothing"


# ---------------------------------------------------------------- sending


@story("sends only its head")
async def only_head(gateway: Gateway, _stream: bool) -> str:
    async with connected(gateway) as caller:
        await caller.send(caller.head("content-length: 500"))
        return status_of(await caller.answer())


@story("sends its body too slowly")
async def slow_body(gateway: Gateway, _stream: bool) -> str:
    async with connected(gateway) as caller:
        await caller.send(caller.head("content-length: 5000"))
        answer = asyncio.create_task(caller.until(b"}}"))
        while not answer.done():
            caller.writer.write(b" ")
            await asyncio.wait([answer], timeout=0.1)
        return status_of(await answer)


@story("announces a body of 33 MB")
async def announces_much(gateway: Gateway, _stream: bool) -> str:
    """It is refused before a byte of it is read."""
    async with connected(gateway) as caller:
        await caller.send(caller.head(f"content-length: {33 * MEGABYTE}"))
        answer = await caller.until(b"}}")
    return status_of(answer)


@story("sends 33 MB without announcing them")
async def sends_much(gateway: Gateway, _stream: bool) -> str:
    async with connected(gateway) as caller:
        await caller.send(caller.head("transfer-encoding: chunked"))
        for _ in range(33):
            await caller.send(b"%x\r\n%b\r\n" % (MEGABYTE, b" " * MEGABYTE))
        answer = await caller.until(b"}}")
    return status_of(answer)


async def sends(gateway: Gateway, body: bytes, *lines: str) -> str:
    async with connected(gateway) as caller:
        await caller.send(caller.head(f"content-length: {len(body)}", "connection: close", *lines) + body)
        return status_of(await caller.answer())


@story("compresses its body")
async def compressed(gateway: Gateway, _stream: bool) -> str:
    return await sends(gateway, b"\x1f\x8b" + b"\0" * 100, "content-encoding: gzip")


@story("sends JSON that is none")
async def no_json(gateway: Gateway, _stream: bool) -> str:
    return await sends(gateway, b'{"model": "up/paid", "messages": [')


@story("gives max_tokens in words")
async def wrong_type(gateway: Gateway, _stream: bool) -> str:
    return await sends(gateway, orjson.dumps(REQUEST | {"max_tokens": "many"}))


@story("gives messages that are none")
async def no_messages(gateway: Gateway, _stream: bool) -> str:
    return await sends(gateway, orjson.dumps(REQUEST | {"messages": {"role": "user"}}))


def nested(depth: int) -> bytes:
    return orjson.dumps(REQUEST)[:-1] + b',"metadata":' + b"[" * depth + b"]" * depth + b"}"


@story("nests its body 300 deep")
async def deep(gateway: Gateway, _stream: bool) -> str:
    """Deep enough to be read and not to be written anew."""
    return await sends(gateway, nested(300))


@story("nests its body 100,000 deep")
async def deeper(gateway: Gateway, _stream: bool) -> str:
    return await sends(gateway, nested(100_000))


@story("gives two values for max_tokens")
async def twice(gateway: Gateway, _stream: bool) -> str:
    """The upstream reads the value that the call was held for, and no other."""
    status = await sends(gateway, orjson.dumps(REQUEST)[:-1] + b',"max_tokens":7}')
    (seen,) = gateway.upstream.seen
    assert seen["max_tokens"] == 7
    return "the answer" if status == "200" else status


SMUGGLED = b"5\r\nhello\r\n0\r\n\r\nPOST /v1/chat/completions HTTP/1.1\r\n"


def smuggles(*lines: str, body: bytes = SMUGGLED) -> Story:
    async def play(gateway: Gateway, _stream: bool) -> str:
        async with connected(gateway) as caller:
            await caller.send(caller.head(*lines) + body)
            answer = await caller.answer()
        assert answer.count(b"HTTP/1.1 ") == 1
        return status_of(answer)

    return play


story("sends content-length and transfer-encoding")(smuggles("content-length: 5", "transfer-encoding: chunked"))
story("sends two lengths that differ")(smuggles("content-length: 5", "content-length: 50"))
story("sends a transfer-encoding that is none")(smuggles("transfer-encoding: chunked, identity"))
story("sends a space before a header's colon")(smuggles("content-length : 5"))
story("sends a chunk size that is none")(smuggles("transfer-encoding: chunked", body=b"0x5\r\nhello\r\n0\r\n\r\n"))


@story("sends two requests at once")
async def pipelined(gateway: Gateway, _stream: bool) -> str:
    """Each is answered and charged, one after the other."""
    content = orjson.dumps(REQUEST)
    async with connected(gateway) as caller:
        first = caller.head(f"content-length: {len(content)}") + content
        last = caller.head(f"content-length: {len(content)}", "connection: close") + content
        await caller.send(first + last)
        answer = await caller.answer()
    return "the answer, twice" if answer.count(b"HTTP/1.1 200") == 2 else status_of(answer)


# ---------------------------------------------------------------- stopped by ourselves


async def stopped(gateway: Gateway, reason: str, *, stream: bool, is_begun: bool) -> str:
    scene = Hanging(gateway)
    if is_begun:
        scene.may_go_on.set()
    async with connected(gateway) as caller:
        await caller.ask(stream=stream)
        await scene.reached.wait()
        answer = b""
        if is_begun:
            answer = await caller.until(b"\n\n")
        assert reason in {"fenced", "too_long"}
        gateway.chat.flights.stop_all("fenced" if reason == "fenced" else "too_long")
        if is_begun:
            async with asyncio.timeout(10):
                await scene.is_stopped.wait()
            answer += await caller.answer()
            assert not answer.endswith(b"0\r\n\r\n"), "the caller must be able to tell that this is not the end"
            return "a part"
        return status_of(await caller.until(b"}}"))


@story("loses its lease before anything came")
async def fenced_early(gateway: Gateway, stream: bool) -> str:
    return await stopped(gateway, "fenced", stream=stream, is_begun=False)


@story("loses its lease in the middle")
async def fenced_late(gateway: Gateway, stream: bool) -> str:
    return await stopped(gateway, "fenced", stream=stream, is_begun=True)


@story("takes too long before anything came")
async def long_early(gateway: Gateway, stream: bool) -> str:
    return await stopped(gateway, "too_long", stream=stream, is_begun=False)


@story("takes too long in the middle")
async def long_late(gateway: Gateway, stream: bool) -> str:
    return await stopped(gateway, "too_long", stream=stream, is_begun=True)
