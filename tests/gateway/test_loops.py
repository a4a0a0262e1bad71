"""A program that runs away is stopped: a task that goes round in circles, a person who asks without end."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any
from uuid import UUID

import httpx
import pytest

from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.gateway.errors import CallError, Looping, TooFast, TooManyAtOnce
from pouch.gateway.loops import PAUSE_S, SLOW_AFTER, STOPPED_FOR_S, Loops
from pouch.gateway.pace import PEOPLE_MAX, Pace
from pouch.gateway.patience import Patience
from pouch.ledger.limits import limits_of, set_limit
from pouch.settings import Limits
from support.gateway import Gateway, events_of, running_gateway
from support.upstream import Exchange, chunk, completion, usage, usage_chunk, words_of

pytestmark = pytest.mark.anyio

TASK = "0d9e5f1c-8b7a-4c52-9c3d-3f2b1a0e9d8c"
TOOLS = [{"type": "function", "function": {"name": "attempt_completion", "parameters": {"type": "object"}}}]
LIMITS = Limits(loop_turns=6, task_usd=Money.parse("0.02"))


class Clock:
    """Time as the test says it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def hurried(database_url: str) -> AsyncIterator[Gateway]:
    """A gateway whose waits are short: a second of them takes 20 ms."""
    async with running_gateway(database_url, patience=Patience(loop_s=0.02), limits=LIMITS) as gateway:
        yield gateway


async def in_words(exchange: Exchange) -> None:
    """An answer that calls no tool."""
    if exchange.body.get("stream"):
        await exchange.stream(words_of(200))
    else:
        await exchange.answer(completion("I would rather talk", usage(10, 200)))


async def with_a_tool(exchange: Exchange) -> None:
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "attempt_completion", "arguments": "{}"}}
    if exchange.body.get("stream"):
        events = [chunk({"tool_calls": [call]}), chunk({}, "tool_calls"), usage_chunk(usage(10, 5)), b"[DONE]"]
        await exchange.stream(events)
    else:
        document: Any = completion("", usage(10, 5))
        document["choices"][0]["message"]["tool_calls"] = [call]
        await exchange.answer(document)


async def ask(gateway: Gateway, *, task: str = TASK, **body: Any) -> httpx.Response:
    asked: dict[str, Any] = {"tools": TOOLS, "stream": True, "max_tokens": 1000} | body
    return await gateway.call(headers={"x-roo-task-id": task}, **asked)


async def test_a_task_that_loops_without_tool_calls_is_slowed_and_then_stopped_and_told_why(hurried: Gateway) -> None:
    """Roo Code asks again at once, for ever, when a model answers in words alone: 23 calls in 12 seconds were seen."""
    hurried.upstream.script = in_words
    loop, took, answers = asyncio.get_running_loop(), [], []
    for _ in range(20):
        began = loop.time()
        answers.append(await ask(hurried))
        took.append(loop.time() - began)
    assert [answer.status_code for answer in answers] == [200] * 6 + [429] * 14
    assert len(hurried.upstream.seen) == 6
    assert all(wait >= units * 0.02 for wait, units in zip(took[SLOW_AFTER:6], (1, 2, 4), strict=True))
    refused = answers[-1]
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "task_looping")
    assert "its last 6 answers called none of the tools" in error["message"]
    assert "Start a new task" in error["message"]
    assert 0 < int(refused.headers["retry-after"]) <= STOPPED_FOR_S
    assert refused.headers["x-should-retry"] == "false"
    # Another task goes on, and so does this person without one.
    assert (await ask(hurried, task="another")).status_code == 200
    assert (await hurried.call()).status_code == 200


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_task_never_spends_more_than_its_limit(hurried: Gateway, *, is_stream: bool) -> None:
    """It calls tools, so it is no loop; every call costs up to $0.002 and the task may spend $0.02."""
    hurried.upstream.script = with_a_tool
    answers = [await ask(hurried, stream=is_stream, max_tokens=4000) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}

    async def dear(exchange: Exchange) -> None:
        await exchange.answer(completion("x", usage(10, 900)))

    hurried.upstream.script = dear
    codes = [(await ask(hurried, stream=False, tools=None)).status_code for _ in range(15)]
    assert codes.count(402) > 0
    last = await ask(hurried, stream=False, tools=None)
    assert last.json()["error"]["metadata"]["limit_source"] == "task_limit"
    assert "what one task may spend here" in last.json()["error"]["message"]
    calls = await hurried.calls()
    assert sum(call.charged_nanos for call in calls) <= Money.parse("0.02").nanos
    assert (await hurried.call()).status_code == 200


async def test_a_looping_task_cannot_spend_more_than_its_keys_limit(hurried: Gateway) -> None:
    hurried.upstream.script = in_words
    async with hurried.database.transaction() as db:
        await set_limit(db, hurried.key.id, kind="key", cap=Money.parse("0.0035"))
    codes = [(await ask(hurried, task=f"{number}")).status_code for number in range(12)]
    assert set(codes) == {200, 402}
    await hurried.at_rest()
    async with hurried.database.transaction() as db:
        (limit,) = (await limits_of(db, [hurried.key.id]))[hurried.key.id]
    assert limit.spent <= limit.cap


async def test_a_tool_call_ends_the_row(hurried: Gateway) -> None:
    for turn in range(20):
        hurried.upstream.script = with_a_tool if turn % 4 == 3 else in_words
        assert (await ask(hurried, stream=turn % 2 == 0)).status_code == 200


async def test_turns_without_tools_and_answers_that_broke_off_say_nothing(hurried: Gateway) -> None:
    """A summary of the conversation offers no tools; an upstream that fails is not the task's doing."""

    async def cut(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.event(chunk({"content": "Some"}))
        exchange.close()

    for _ in range(8):
        hurried.upstream.script = in_words
        assert (await ask(hurried, tools=None, max_tokens=10)).status_code == 200
        hurried.upstream.script = cut
        assert events_of((await ask(hurried, max_tokens=10)).content)[-1]["error"]


async def test_a_task_belongs_to_its_person(hurried: Gateway) -> None:
    hurried.upstream.script = in_words
    for _ in range(6):
        await ask(hurried)
    assert (await ask(hurried)).status_code == 429
    bob = await hurried.newcomer()
    assert (await ask(bob)).status_code == 200


# --------------------------------------------------------------- by the clock


class Turns:
    """The turns of one task, without a gateway."""

    def __init__(self, **limits: int) -> None:
        self.clock = Clock()
        self.loops = Loops(Limits(**limits), loop_s=0, clock=self.clock)
        self.person = new_id()

    async def turn(self, *, has_called: bool = False, after_s: float = 0.1) -> CallError | None:
        self.clock.now += after_s
        try:
            await self.loops.enter(self.person, TASK)
        except CallError as error:
            return error
        self.loops.answered(self.person, TASK, has_called=has_called)
        return None


async def test_somebody_who_thinks_between_the_turns_is_no_loop() -> None:
    turns = Turns(loop_turns=3)
    for _ in range(10):
        assert await turns.turn(after_s=PAUSE_S + 1) is None


async def test_a_stopped_task_goes_on_after_ten_minutes_one_turn_at_a_time() -> None:
    """Roo's own backoff grows to ten minutes, so pauses alone must not set a stopped task free."""
    turns = Turns(loop_turns=3)
    assert [await turns.turn() for _ in range(3)] == [None] * 3
    assert isinstance(await turns.turn(after_s=300), Looping)
    assert await turns.turn(after_s=301) is None
    assert isinstance(await turns.turn(after_s=60), Looping)
    assert await turns.turn(after_s=600, has_called=True) is None
    assert [await turns.turn() for _ in range(3)] == [None] * 3
    assert isinstance(await turns.turn(), Looping)


async def test_without_a_limit_of_turns_a_task_is_never_stopped() -> None:
    turns = Turns(loop_turns=0)
    assert {await turns.turn() for _ in range(50)} == {None}


async def test_a_tasks_calls_of_a_minute_are_limited_whatever_they_say() -> None:
    """An agent whose tools fail in a loop."""
    turns = Turns(task_requests_per_minute=10)
    answers = [await turns.turn(has_called=True, after_s=1) for _ in range(30)]
    refused = [answer for answer in answers if answer is not None]
    assert 15 <= len(refused) <= 17
    assert all(isinstance(answer, TooFast) and answer.retry_after_s for answer in refused)


async def test_tasks_that_were_quiet_for_long_are_forgotten() -> None:
    turns = Turns(loop_turns=2)
    assert [await turns.turn() for _ in range(2)] == [None] * 2
    assert isinstance(await turns.turn(), Looping)
    for number in range(10_001):
        await turns.loops.enter(turns.person, str(number))
    assert await turns.turn() is None


# ------------------------------------------------------------------ of a person


async def test_calls_of_a_minute_are_limited_for_each_person(database_url: str) -> None:
    async with running_gateway(database_url, limits=Limits(requests_per_minute=5)) as gateway:
        codes = [(await gateway.call()).status_code for _ in range(8)]
        assert codes == [200] * 5 + [429] * 3
        refused = await gateway.call(model="up/free")
        error = refused.json()["error"]
        assert (error["code"], error["metadata"]["limit"]) == ("rate_limit_exceeded", "requests_per_minute")
        assert "You may make 5 calls a minute" in error["message"]
        assert 1 <= int(refused.headers["retry-after"]) <= 12
        assert refused.headers["x-should-retry"] == "true"
        bob = await gateway.newcomer()
        assert (await bob.call()).status_code == 200


async def test_calls_at_once_are_limited_for_each_person(database_url: str) -> None:
    async with running_gateway(database_url, limits=Limits(concurrent_calls=3)) as gateway:
        may_end = asyncio.Event()

        async def script(exchange: Exchange) -> None:
            await may_end.wait()
            await exchange.answer(completion("x"))

        gateway.upstream.script = script
        calls = [asyncio.create_task(gateway.call()) for _ in range(3)]
        async with asyncio.timeout(10):
            while len(gateway.upstream.seen) < 3:
                await asyncio.sleep(0.01)
        refused = await gateway.call()
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_calls_at_once")
        assert refused.headers["retry-after"] == "1"
        may_end.set()
        assert {(await call).status_code for call in calls} == {200}
        assert (await gateway.call()).status_code == 200


def test_without_settings_a_thousand_calls_come_together_and_no_person_takes_the_whole_process() -> None:
    """A burst passes, so that the credits decide; a program that never stops is held at 100 calls a second."""
    clock, alice, bob = Clock(), new_id(), new_id()
    pace = Pace(Limits(), clock)
    for _ in range(1_000):
        pace.enter(alice)
    for _ in range(1_000):
        pace.leave(alice)
    for _ in range(5_000):
        pace.enter(alice)
        pace.leave(alice)
    with pytest.raises(TooFast):
        pace.enter(alice)
    pace.enter(bob)
    clock.now += 1
    for _ in range(100):
        pace.enter(alice)
    with pytest.raises(TooFast):
        pace.enter(alice)


def test_a_bucket_fills_evenly() -> None:
    clock, person = Clock(), new_id()
    pace = Pace(Limits(requests_per_minute=60), clock)

    def made(person_id: UUID = person) -> bool:
        try:
            pace.enter(person_id)
        except TooFast:
            return False
        pace.leave(person_id)
        return True

    assert [made() for _ in range(61)] == [True] * 60 + [False]
    clock.now += 10
    assert [made() for _ in range(11)] == [True] * 10 + [False]
    clock.now += 3600
    assert sum(made() for _ in range(100)) == 60


def test_people_without_calls_are_forgotten_and_those_with_some_are_not() -> None:
    clock, busy = Clock(), new_id()
    pace = Pace(Limits(concurrent_calls=1), clock)
    pace.enter(busy)
    numbers = count()
    for _ in range(PEOPLE_MAX + 1):
        person = UUID(int=next(numbers))
        pace.enter(person)
        pace.leave(person)
        clock.now += 1
    assert len(pace) < PEOPLE_MAX
    with pytest.raises(TooManyAtOnce):
        pace.enter(busy)
