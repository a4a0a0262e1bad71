"""Many calls at once, each from a connection of its own, and what each was told."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import orjson
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError
from pyreqwest.request import RequestBuilder

from pouch.base.money import ZERO, Money
from support.load import read_stream, read_whole

PATIENCE_S = 120
"""No call of these tests takes longer on the slowest machine."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call: to which process, with whose key, and what a full answer to it says."""

    url: str
    secret: str
    model: str
    question: str
    answer: str
    max_tokens: int
    is_stream: bool = False
    asks_usage: bool = False

    def body(self) -> bytes:
        document: dict[str, object] = {
            "model": self.model,
            "messages": [{"role": "user", "content": self.question}],
            "max_tokens": self.max_tokens,
            "stream": self.is_stream,
        }
        if self.asks_usage:
            document["stream_options"] = {"include_usage": True}
        return orjson.dumps(document)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: a full answer and its cost, a refusal and its reason, or neither."""

    call: Call
    outcome: str
    """One of: answered, cut, left; or the status and the reason of a refusal, such as "402 credits"."""
    cost: Money = ZERO
    text: str = ""


class Crowd:
    """Calls any number at once."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def at_once(self, calls: Sequence[Call]) -> list[Reply]:
        """Make all calls at the same time."""
        return await asyncio.gather(*map(self.ask, calls))

    async def ask(self, call: Call) -> Reply:
        """Make one call and listen to the end."""
        try:
            response = await self._request(call).build().send()
            body = bytes(await response.bytes())
        except PyreqwestError as error:
            return Reply(call, "cut", text=type(error).__name__)
        if response.status != 200:
            return _refusal(call, response.status, body)
        told = read_stream(body) if call.is_stream else read_whole(body)
        if told is None:
            return Reply(call, "cut", text=body.decode(errors="replace"))
        text, cost, *_ = told
        return Reply(call, "answered" if text == call.answer else "another answer", Money(cost), text)

    async def leave(self, call: Call) -> Reply:
        """Make one call and hang up at the first piece of its answer."""
        async with self._request(call).streamed_read_buffer_limit(0).build_streamed() as response:
            if response.status != 200:
                return _refusal(call, response.status, bytes(await response.bytes()))
            await response.body_reader.read_chunk()
        return Reply(call, "left")

    def _request(self, call: Call) -> RequestBuilder:
        request = self._client.post(f"{call.url}/v1/chat/completions").header("content-type", "application/json")
        return request.header("authorization", f"Bearer {call.secret}").body_bytes(call.body())


@asynccontextmanager
async def crowd() -> AsyncIterator[Crowd]:
    """A crowd whose connections are closed at the end of the block."""
    builder = ClientBuilder().no_proxy().http1_only().timeout(timedelta(seconds=PATIENCE_S))
    async with builder.max_connections(10_000).pool_timeout(timedelta(seconds=PATIENCE_S)).build() as client:
        yield Crowd(client)


def outcomes(replies: Sequence[Reply]) -> Counter[str]:
    """How often each was said."""
    return Counter(reply.outcome for reply in replies)


def cost_of(replies: Sequence[Reply]) -> Money:
    """The sum of every `usage.cost` that was told."""
    return sum((reply.cost for reply in replies), ZERO)


def _refusal(call: Call, status: int, body: bytes) -> Reply:
    error = orjson.loads(body)["error"]
    source = (error.get("metadata") or {}).get("limit_source", error["code"])
    return Reply(call, f"{status} {source}", text=error["message"])
