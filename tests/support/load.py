"""Clients that call `pouch/paid` over and over, and write each complete answer to disk before it counts."""

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import orjson
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError

from pouch.base.ids import read_id, show_id

NANOS_PER_TOKEN_IN = 1_000
NANOS_PER_TOKEN_OUT = 2_000
"""The price of pouch/paid as its description states it: $1 and $2 per million."""
PATIENCE_S = 90
"""No call of this load takes longer, whatever is killed meanwhile."""
PAUSE_S = (0.1, 0.5)
"""How long a client that was refused or cut off thinks before it calls again."""
VOCABULARY = ("amber", "birch", "copper", "delta", "ember", "flint", "grove", "harbor", "iris", "juniper", "kelp")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client was told to the end."""

    generation_id: UUID
    email: str
    cost_nanos: int
    prompt_tokens: int
    completion_tokens: int

    @property
    def shown_id(self) -> str:
        """The generation id as the client was told it."""
        return show_id("gen", self.generation_id)


class AnswerLog:
    """A file that ends, at every moment, with the last answer that counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def append(self, answer: Answer) -> None:
        line = [
            str(answer.generation_id),
            answer.email,
            answer.cost_nanos,
            answer.prompt_tokens,
            answer.completion_tokens,
        ]
        os.write(self._file, orjson.dumps(line) + b"\n")
        os.fsync(self._file)
        self.size += 1

    def read(self) -> list[Answer]:
        """Everything that was written, from disk."""
        lines = [orjson.loads(line) for line in self.path.read_bytes().splitlines()]
        return [Answer(UUID(id_), *others) for id_, *others in lines]


@dataclass(frozen=True, slots=True)
class Question:
    """A call whose answer and price are known beforehand."""

    words: tuple[str, ...]
    max_tokens: int
    is_stream: bool
    asks_usage: bool

    @classmethod
    def random(cls, rng: random.Random) -> Self:
        words = tuple(rng.choices(VOCABULARY, k=rng.randint(5, 30)))
        return cls(words, rng.randint(5, 40), rng.random() < 0.7, rng.random() < 0.5)

    def body(self) -> bytes:
        document: dict[str, object] = {
            "model": "pouch/paid",
            "messages": [{"role": "user", "content": " ".join(self.words)}],
            "max_tokens": self.max_tokens,
            "stream": self.is_stream,
        }
        if self.is_stream and self.asks_usage:
            document["stream_options"] = {"include_usage": True}
        return orjson.dumps(document)

    @property
    def text(self) -> str:
        return " ".join(self.words[: self.max_tokens])

    @property
    def tokens(self) -> tuple[int, int]:
        return len(self.words), min(len(self.words), self.max_tokens)

    @property
    def cost_nanos(self) -> int:
        prompt, completion = self.tokens
        return prompt * NANOS_PER_TOKEN_IN + completion * NANOS_PER_TOKEN_OUT


class Load:
    """The clients. `outcomes` counts what became of each call: "answered", a status, "cut" or "unreachable"."""

    def __init__(self, url: str, log: AnswerLog, client: Client) -> None:
        self.log = log
        self.outcomes: Counter[str] = Counter()
        self.problems: list[str] = []
        """What no kill excuses: a wrong answer, a wrong price, an answer of one id given twice."""
        self._url = f"{url}/v1/chat/completions"
        self._client = client
        self._is_over = False
        self._marked_at, self._since_mark = 0.0, 0
        self._grown = asyncio.Condition()
        self._seen: set[UUID] = set()

    def mark(self) -> None:
        """From now on count the answers to calls that are begun from now on."""
        self._marked_at, self._since_mark = time.monotonic(), 0

    async def answers(self, count: int) -> None:
        """Wait until so many calls that were begun since the mark are answered."""
        async with self._grown:
            await self._grown.wait_for(lambda: self._since_mark >= count)

    def end(self) -> None:
        """Let each client end the call that it is at."""
        self._is_over = True

    async def ask_on_and_on(self, email: str, secret: str, rng: random.Random) -> None:
        """One client, until `end`."""
        while not self._is_over:
            outcome = await self._ask(email, secret, Question.random(rng))
            self.outcomes[outcome] += 1
            if outcome != "answered":
                await asyncio.sleep(rng.uniform(*PAUSE_S))

    async def _ask(self, email: str, secret: str, question: Question) -> str:
        begun_at = time.monotonic()
        request = self._client.post(self._url).header("content-type", "application/json").body_bytes(question.body())
        try:
            response = await request.header("authorization", f"Bearer {secret}").build().send()
            status, shown_id = response.status, response.get_header("x-generation-id") or ""
            body = bytes(await response.bytes())
        except PyreqwestError as error:
            return "cut" if "body" in str(error) else "unreachable"
        if status != 200:
            return str(status)
        told = read_stream(body) if question.is_stream else read_whole(body)
        generation_id = read_id("gen", shown_id)
        if told is None or generation_id is None:
            return "cut"
        self._count(Answer(generation_id, email, *told[1:]), told[0], question)
        async with self._grown:
            self._since_mark += begun_at >= self._marked_at
            self._grown.notify_all()
        return "answered"

    def _count(self, answer: Answer, text: str, question: Question) -> None:
        self.log.append(answer)
        if answer.generation_id in self._seen:
            self.problems.append(f"{answer.shown_id} was answered twice")
        self._seen.add(answer.generation_id)
        said = (text, answer.prompt_tokens, answer.completion_tokens, answer.cost_nanos)
        wanted = (question.text, *question.tokens, question.cost_nanos)
        if said != wanted:
            self.problems.append(f"{answer.shown_id} said {said}, not {wanted}")


@asynccontextmanager
async def calling(url: str, secrets: Mapping[str, str], log: Path, *, clients: int, seed: int) -> AsyncIterator[Load]:
    """Call without a pause until the end of the block, then wait for the calls under way.

    `secrets` are API keys by their owners' addresses; the clients are shared out among them.
    """
    owners = list(secrets.items())
    http = ClientBuilder().no_proxy().http1_only().timeout(timedelta(seconds=PATIENCE_S)).build()
    with AnswerLog(log) as answers:
        async with http, asyncio.TaskGroup() as group:
            load = Load(url, answers, http)
            for number in range(clients):
                email, secret = owners[number % len(owners)]
                group.create_task(load.ask_on_and_on(email, secret, random.Random(f"{seed} {number}")))
            yield load
            load.end()


Told = tuple[str, int, int, int]
"""The text, what it cost in nano-dollars, and the tokens: prompt and completion."""


def read_whole(body: bytes) -> Told | None:
    """A complete answer in one piece."""
    document = json.loads(body, parse_float=Decimal)
    return _told(document["choices"][0]["message"]["content"], document["usage"])


def read_stream(body: bytes) -> Told | None:
    """A complete answer in a stream; None when it broke off."""
    events = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]
    if not events or events[-1] != "[DONE]":
        return None
    text = ""
    usage = None
    for event in events[:-1]:
        chunk = json.loads(event, parse_float=Decimal)
        for choice in chunk["choices"]:
            text += choice["delta"].get("content") or ""
        usage = chunk.get("usage") or usage
    return _told(text, usage) if usage is not None else None


def _told(text: str, usage: Mapping[str, Any]) -> Told:
    cost = Decimal(usage["cost"]) * 1_000_000_000
    assert cost == int(cost), f"{usage['cost']} is no whole number of nano-dollars"
    return text, int(cost), usage["prompt_tokens"], usage["completion_tokens"]
