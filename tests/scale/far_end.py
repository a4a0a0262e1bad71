"""The upstream of these tests: it counts as dearly as can be, so that a call costs exactly what was held for it."""

import asyncio

from pouch.catalog.cost import MILLION
from pouch.gateway.bound import input_bound
from scale.crowd import Call
from support.upstream import Exchange, chunk, completion, usage, usage_chunk

MODEL = "scale/paid"
QUESTION = "What is it?"
ENDLESS = "Stay with me"
"""Asked this, it says its first word and then waits until the other side hangs up."""
ANSWER = "all of it"
MAX_TOKENS = 50
INPUT_USD, OUTPUT_USD = "0.123456789", "1.987654321"
"""Per million tokens; no whole number of nano-dollars per token, so every charge is rounded up."""
TOML = """
[embedded]
models = true
[[upstreams]]
id = "dear"
base_url = "{url}"
[[models]]
id = "{model}"
upstream = "dear"
upstream_model = "paid"
name = "Paid"
context_window = 100000
max_tokens = 1000
price = {{ input = "{input_usd}", output = "{output_usd}" }}
"""


def toml(url: str) -> str:
    """The pouch.toml that sells the upstream's model, beside the test models."""
    return TOML.format(url=url, model=MODEL, input_usd=INPUT_USD, output_usd=OUTPUT_USD)


def call(url: str, secret: str, *, question: str = QUESTION, is_stream: bool = False, asks_usage: bool = False) -> Call:
    return Call(url, secret, MODEL, question, ANSWER, MAX_TOKENS, is_stream=is_stream, asks_usage=asks_usage)


def cost_nanos() -> int:
    """What each such call costs: worked out here from the prices, for the most tokens that it can come to."""
    tokens_in = len(QUESTION) + len("user") + 16 + 8
    millionths = tokens_in * _nanos(INPUT_USD) + MAX_TOKENS * _nanos(OUTPUT_USD)
    return -(-millionths // MILLION)


async def answer(exchange: Exchange) -> None:
    """Answer at once."""
    await _begin(exchange)
    if exchange.body["messages"][0]["content"] == ENDLESS:
        await exchange.until_gone()
    else:
        await _end(exchange)


async def _begin(exchange: Exchange) -> None:
    if exchange.body["stream"]:
        await exchange.begin_stream()
        await exchange.event(chunk({"content": "all "}))


async def _end(exchange: Exchange) -> None:
    body = exchange.body
    spent = usage(input_bound(body).tokens_max, body["max_tokens"])
    if not body["stream"]:
        await exchange.answer(completion(ANSWER, spent))
        return
    for document in (chunk({"content": "of it"}), chunk({}, "stop"), usage_chunk(spent), b"[DONE]"):
        await exchange.event(document)
    await exchange.end_stream()


class Gate:
    """Answers nobody before it is opened: by so many arrivals, or by `open`. A stream says its first word before."""

    def __init__(self, opens_at: int | None = None) -> None:
        self.arrived = 0
        self._opens_at = opens_at
        self._grown = asyncio.Condition()
        self._is_open = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        async with self._grown:
            self.arrived += 1
            self._grown.notify_all()
        if self.arrived == self._opens_at:
            self.open()
        await _begin(exchange)
        await self._is_open.wait()
        await _end(exchange)

    def open(self) -> None:
        """Let everybody in, now and later."""
        self._is_open.set()

    async def grows_to(self, size: int) -> None:
        """Wait until so many calls have arrived; pytest's timeout is the limit."""
        async with self._grown:
            await self._grown.wait_for(lambda: self.arrived >= size)


def _nanos(usd: str) -> int:
    dollars, _, rest = usd.partition(".")
    return int(dollars) * 10**9 + int(rest.ljust(9, "0"))
