import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pouch.agents.sandboxes.relay import BODY_BYTES_MAX, CALLS_MAX, Relay
from pouch.agents.sandboxes.types import GatewayAccess, Notice
from support.upstream import Exchange, FakeUpstream, completion, fake_upstream

pytestmark = pytest.mark.anyio


class Wire:
    """A relay, its gateway, and the agent's end of the socket."""

    def __init__(self, path: Path, gateway: FakeUpstream, notices: list[Notice]) -> None:
        self.path = path
        self.gateway = gateway
        self.notices = notices

    async def raw(self, data: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self.path)
        try:
            writer.write(data)
            await writer.drain()
            if len(data) > BODY_BYTES_MAX or (b"chunked" in data[:100] and not data.endswith(b"0\r\n\r\n")):
                # It waits a moment for the rest of what it refused.
                writer.write_eof()
            async with asyncio.timeout(20):
                return await reader.read()
        finally:
            writer.close()

    async def call(
        self, document: object, *, path: str = "/v1/chat/completions", headers: str = ""
    ) -> tuple[int, dict[str, Any]]:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {len(body)}\r\n\r\n"
        answer = await self.raw(head.encode() + body)
        return int(answer.split(b" ")[1]), json.loads(answer.partition(b"\r\n\r\n")[2])


@pytest.fixture
async def wire(tmp_path: Path) -> AsyncIterator[Wire]:
    async with a_wire(tmp_path / "s") as wire:
        yield wire


@asynccontextmanager
async def a_wire(path: Path) -> AsyncIterator[Wire]:
    notices: list[Notice] = []
    async with fake_upstream() as gateway:

        async def answer(exchange: Exchange) -> None:
            gateway.seen[-1]["headers"] = exchange.headers
            await exchange.answer(completion("Hello"))
            exchange.close()

        gateway.script = answer
        access = GatewayAccess(gateway.url.removesuffix("/v1"), "sk-run-real", ("up", "other"))
        relay = Relay(access, notices.append, uid=os.geteuid())
        await relay.start(path)
        try:
            yield Wire(path, gateway, notices)
        finally:
            await relay.stop()


async def test_the_runs_key_is_put_in_and_every_other_is_dropped(wire: Wire) -> None:
    status, document = await wire.call(
        {"model": "up"},
        headers="authorization: Bearer placeholder\r\nx-api-key: mine\r\ncookie: a=b\r\nx-forwarded-for: 1.2.3.4\r\n",
    )
    assert (status, document["choices"][0]["message"]["content"]) == (200, "Hello")
    (seen,) = wire.gateway.seen
    headers = seen["headers"]
    assert headers["authorization"] == "Bearer sk-run-real"
    assert set(headers) == {"host", "authorization", "connection", "content-length"}


@pytest.mark.parametrize("model", ["gpt-5", "", None, 7, ["up"]])
async def test_only_the_runs_models_may_be_asked(wire: Wire, model: object) -> None:
    status, document = await wire.call({"model": model})
    assert (status, document["error"]["code"]) == (403, "model_not_allowed")
    assert wire.gateway.seen == []
    assert [notice.kind for notice in wire.notices] == ["model_denied"]


async def test_only_a_few_paths_may_be_called(wire: Wire) -> None:
    for path in ("/api/v1/keys", "/admin", "/v1/../admin", "http://elsewhere/v1/chat/completions"):
        status, _ = await wire.call({"model": "up"}, path=path)
        assert status == 403, path
    assert wire.gateway.seen == []
    assert {notice.kind for notice in wire.notices} == {"path_denied"}


async def test_a_body_is_at_most_so_large(wire: Wire) -> None:
    status, _ = await wire.call(b"x" * (BODY_BYTES_MAX + 1))
    assert status == 413
    answer = await wire.raw(
        b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n" % (BODY_BYTES_MAX + 1)
    )
    assert b" 413 " in answer.split(b"\r\n")[0]
    assert [notice.kind for notice in wire.notices] == ["body_denied"] * 2


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /v1/models\r\n\r\n",
        b"GET  /v1/models HTTP/1.1\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nx y: z\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nx: y\n\nz: a\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v1/models HTTP/1.1\r\n" + b"x: y\r\n" * 20_000 + b"\r\n",
    ],
)
async def test_what_is_not_plain_http_is_not_passed_on(wire: Wire, request_: bytes) -> None:
    """What two servers read differently could smuggle a second request past one of them."""
    answer = await wire.raw(request_)
    assert b" 400 " in answer.split(b"\r\n")[0]
    assert wire.gateway.seen == []


async def test_a_body_in_pieces_arrives_whole(wire: Wire) -> None:
    body = b'{"model": "up", "x": "' + b"y" * 5000 + b'"}'
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:9], body[9:4000], body[4000:]))
    answer = await wire.raw(
        b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"
    )
    assert b" 200 " in answer.split(b"\r\n")[0]
    assert wire.gateway.seen[0]["x"] == "y" * 5000


async def test_a_refusal_for_money_is_told_at_once(wire: Wire) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.answer({"error": {"message": "The cap is reached.", "type": "run_limit_reached"}}, 402)
        exchange.close()

    wire.gateway.script = refuse
    status, _ = await wire.call({"model": "up"})
    assert status == 402
    assert wire.notices == [Notice("refused", "The cap is reached.", status=402, code="run_limit_reached")]


async def test_an_agent_that_hangs_up_ends_its_call(wire: Wire) -> None:
    is_gone = asyncio.Event()

    async def stream(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.event({"choices": []})
        await exchange.until_gone()
        is_gone.set()

    wire.gateway.script = stream
    reader, writer = await asyncio.open_unix_connection(wire.path)
    writer.write(b'POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 15\r\n\r\n{"model": "up"}')
    await reader.readuntil(b"data: ")
    writer.close()
    async with asyncio.timeout(10):
        await is_gone.wait()


async def test_only_so_many_calls_go_on_at_once(wire: Wire) -> None:
    go_on = asyncio.Event()

    async def wait(exchange: Exchange) -> None:
        await go_on.wait()
        await exchange.answer(completion("Hello"))
        exchange.close()

    wire.gateway.script = wait
    first = [asyncio.create_task(wire.call({"model": "up"})) for _ in range(CALLS_MAX)]
    while len(wire.gateway.seen) < CALLS_MAX:
        await asyncio.sleep(0.01)
    status, _ = await wire.call({"model": "up"})
    assert status == 429
    go_on.set()
    assert [status for status, _ in await asyncio.gather(*first)] == [200] * CALLS_MAX


async def test_a_gateway_that_is_gone_is_said(tmp_path: Path) -> None:
    relay = Relay(GatewayAccess("http://127.0.0.1:9", "k", ("up",)), lambda _: None)
    await relay.start(tmp_path / "s")
    status, document = await Wire(tmp_path / "s", FakeUpstream("", None), []).call({"model": "up"})  # type: ignore[arg-type] # never asked
    await relay.stop()
    assert (status, document["error"]["code"]) == (503, "gateway_unreachable")


def test_the_key_is_in_no_text_of_the_run() -> None:
    assert "sk-run-real" not in repr(GatewayAccess("http://x", "sk-run-real", ()))
