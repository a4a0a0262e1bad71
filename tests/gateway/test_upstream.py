"""How upstreams are asked: what is read of an answer, and which connection carries the next request.

What callers get of an upstream that misbehaves is in tests/faults.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from pouch.catalog.types import Upstream
from pouch.gateway.errors import UpstreamFailed, UpstreamSilent
from pouch.gateway.proxied import ProxiedClient
from pouch.gateway.upstream import Upstreams
from pouch.gateway.wires import HEAD_BYTES_MAX, KEPT_BYTES_MAX
from support.upstream import Exchange, FakeUpstream, fake_upstream

pytestmark = pytest.mark.anyio

BODY = b'{"messages": []}'
MEGABYTE = 1024 * 1024


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with fake_upstream() as it:
        yield it


@pytest.fixture
async def upstreams() -> AsyncIterator[Upstreams]:
    async with Upstreams(lambda _: "the-key", silence_max_s=1) as it:
        yield it


def at(upstream: FakeUpstream) -> Upstream:
    return Upstream("up", "openai", upstream.url)


async def whole(upstreams: Upstreams, upstream: FakeUpstream) -> bytes:
    async with upstreams.chat(at(upstream), BODY) as answer:
        return await answer.whole()


async def test_a_connection_is_used_again(upstream: FakeUpstream, upstreams: Upstreams) -> None:
    async def script(exchange: Exchange) -> None:
        assert exchange.headers["authorization"] == "Bearer the-key"
        await exchange.answer({"is": "well"})

    upstream.script = script
    for _ in range(3):
        assert await whole(upstreams, upstream) == b'{"is":"well"}'
    assert upstream.connections == 1


async def test_a_connection_that_the_server_will_close_is_not_used_again(
    upstream: FakeUpstream, upstreams: Upstreams
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer({}, headers="connection: close\r\n")

    upstream.script = script
    for _ in range(2):
        assert await whole(upstreams, upstream) == b"{}"
    assert upstream.connections == 2


async def test_an_interim_answer_says_nothing(upstream: FakeUpstream, upstreams: Upstreams) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nretry-after: 9\r\n\r\n")
        await exchange.answer({})

    upstream.script = script
    async with upstreams.chat(at(upstream), BODY) as answer:
        assert (answer.status, answer.retry_after, await answer.whole()) == (200, None, b"{}")


async def test_a_body_may_end_with_its_connection(upstream: FakeUpstream, upstreams: Upstreams) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.raw(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        exchange.close()

    upstream.script = script
    assert await whole(upstreams, upstream) == b"all of it"


async def test_a_head_has_a_limit(upstream: FakeUpstream, upstreams: Upstreams) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.raw(b"HTTP/1.1 200 OK\r\nx: " + b"x" * 2 * HEAD_BYTES_MAX)
        await exchange.until_gone()

    upstream.script = script
    with pytest.raises(UpstreamFailed, match="before it answered"):
        await whole(upstreams, upstream)


async def test_a_server_is_not_read_from_faster_than_its_answer_is(
    upstream: FakeUpstream, upstreams: Upstreams
) -> None:
    """64 MB are offered; until somebody reads, no more is taken than what the sockets and one reader's share hold."""
    poured = 0

    async def script(exchange: Exchange) -> None:
        nonlocal poured
        await exchange.raw(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (64 * MEGABYTE))
        for _ in range(64):
            await exchange.raw(b"x" * MEGABYTE)
            poured += 1

    upstream.script = script
    async with upstreams.chat(at(upstream), BODY) as answer:
        before = -1
        while poured != before:
            before = poured
            await asyncio.sleep(0.1)
        assert poured * MEGABYTE < 16 * MEGABYTE + KEPT_BYTES_MAX
        assert sum([len(piece) async for piece in answer.pieces()]) == 64 * MEGABYTE


async def test_the_tail_of_an_answer_is_waited_for_after_it_was_left(
    upstream: FakeUpstream, upstreams: Upstreams
) -> None:
    """What ends a stream may come late; then the connection is used again. It is dropped when the block broke off."""
    may_end = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.event(b"[DONE]")
        await may_end.wait()
        await exchange.end_stream()

    upstream.script = script
    async with upstreams.chat(at(upstream), BODY) as answer:
        async for _ in answer.pieces():
            break
    may_end.set()
    await asyncio.sleep(0.1)
    assert await whole(upstreams, upstream)
    assert upstream.connections == 1
    with pytest.raises(ZeroDivisionError):
        async with upstreams.chat(at(upstream), BODY):
            raise ZeroDivisionError
    assert await whole(upstreams, upstream)
    assert upstream.connections == 2


async def test_a_key_that_would_break_the_head_is_not_sent(upstream: FakeUpstream) -> None:
    async with Upstreams(lambda _: "key\r\nx: y") as upstreams:
        with pytest.raises(UpstreamFailed, match="not set up rightly"):
            await whole(upstreams, upstream)
    assert not upstream.seen


async def test_what_goes_over_a_proxy_is_read_the_same_way(upstream: FakeUpstream) -> None:
    """The client that is used where the environment names a proxy, here without one."""

    async def script(exchange: Exchange) -> None:
        if len(upstream.seen) == 1:
            await exchange.answer({"is": "well"}, headers="retry-after: 3\r\n")
        else:
            await exchange.until_gone()

    upstream.script = script
    client = ProxiedClient(silence_max_s=0.5)
    url = f"{upstream.url}/chat/completions"
    answer = await client.ask(url, {"authorization": "Bearer the-key"}, BODY)
    assert (answer.status, answer.header(b"retry-after"), await answer.read()) == (200, "3", b'{"is":"well"}')
    assert await answer.read() is None
    await answer.leave(is_done=True)
    with pytest.raises(UpstreamSilent):
        await client.ask(url, {}, BODY)
    with pytest.raises(UpstreamFailed, match="cannot be reached"):
        await client.ask("http://127.0.0.1:1/", {}, BODY)
    await client.close()
