"""Whatever an upstream does, the caller gets, is charged and finds written down what docs/faults.md says."""

from typing import Any

import httpx
import pytest

from faults import broken_answers, broken_streams
from faults.registry import FAULTS, HELLO, MEGABYTE, SPENT, TEXT, begin, proper
from faults.table import Row, rows_under
from pouch.base.money import Money
from support.gateway import Gateway, events_of
from support.upstream import Exchange

pytestmark = pytest.mark.anyio

ROWS = rows_under("At the upstream's end")
TEN = Money.parse("10")
INPUT_COUNTED = len("user" + "Say something") // 4


def test_every_fault_has_its_row_and_every_row_its_fault() -> None:
    assert {row.fault for row in ROWS} == FAULTS.keys()
    assert len({str(row) for row in ROWS}) == len(ROWS)
    assert broken_answers.__doc__
    assert broken_streams.__doc__


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_an_upstream_that(gateway: Gateway, row: Row) -> None:
    fault = FAULTS[row.fault]
    gateway.upstream.script = fault.script
    answer = await gateway.call(model=fault.model, stream=row.asked == "stream")
    has = await gateway.at_rest()
    (call,) = await gateway.calls()

    gets, text = whole(answer) if row.asked == "whole" else streamed(answer)
    assert gets == row.gets
    assert call.outcome == row.outcome
    assert has.posted == TEN - Money(call.charged_nanos)
    assert has.held == Money(0)
    counts = (call.counts.input_total, call.counts.output_total)
    match row.charged:
        case "nothing":
            assert (call.charged_nanos, counts) == (0, (0, 0))
        case "counted":
            assert call.is_estimated
            assert counts == (INPUT_COUNTED, len(text.encode()) // 4)
        case "reported":
            assert not call.is_estimated
            assert counts == (fault.spent["prompt_tokens"], fault.spent["completion_tokens"])
    assert call.charged_nanos == counts[0] * 1000 + counts[1] * 2000
    assert "sk-upstream-secret" not in answer.text or row.fault in {"answers 400", "answers 413"}
    if gets == "the answer":
        cost = cost_of(answer, is_stream=row.asked == "stream")
        assert Money.parse(f"{cost:.9f}") == Money(call.charged_nanos)


def whole(answer: httpx.Response) -> tuple[str, str]:
    """What came, in the table's words, and its text."""
    document = answer.json()
    if answer.status_code == 200:
        return "the answer", document["choices"][0]["message"]["content"]
    return error(answer, document), ""


def streamed(answer: httpx.Response) -> tuple[str, str]:
    if answer.status_code != 200:
        return error(answer, answer.json()), ""
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = events_of(answer.content)
    assert all(isinstance(event["choices"], list) for event in events if event != "[DONE]")
    text = "".join(
        choice["delta"].get("content", "") for event in events if event != "[DONE]" for choice in event["choices"]
    )
    if events[-1] == "[DONE]":
        assert [bool(event.get("usage")) for event in events[:-1]] == [False] * (len(events) - 2) + [True]
        return "the answer", text
    assert "[DONE]" not in events
    assert set(events[-1]["error"]) == {"message", "type", "code"}
    return ("a part and an error event" if text else "an error event"), text


def error(answer: httpx.Response, document: dict[str, Any]) -> str:
    said = document["error"]
    assert set(said) == {"message", "type", "param", "code"}
    if answer.status_code == 503:
        assert int(answer.headers["retry-after"]) in {1, 7}
    return f"{answer.status_code} {said['code']}" if said["code"] else f"{answer.status_code}"


def cost_of(answer: httpx.Response, *, is_stream: bool) -> float:
    usage = events_of(answer.content)[-2]["usage"] if is_stream else answer.json()["usage"]
    cost: float = usage["cost"]
    return cost


async def test_an_upstream_that_pours_without_end_is_stopped(gateway: Gateway) -> None:
    """What is kept of one event or answer has a limit, so the upstream cannot get rid of much more than that."""
    poured = 0

    async def script(exchange: Exchange) -> None:
        nonlocal poured
        await begin(exchange)
        await exchange.raw(b"%x\r\ndata: " % (1024 * MEGABYTE))
        while True:
            await exchange.raw(b"x" * MEGABYTE)
            poured += 1

    gateway.upstream.script = script
    answer = await gateway.call(stream=True)
    assert "more than 16 MB" in answer.text
    assert 16 <= poured < 32


async def test_a_cost_above_the_hold_stops_at_what_is_available(shared: Gateway) -> None:
    """Somebody with a cent and an upstream that reports a dollar's worth: the rest is the operator's loss."""
    gateway = await shared.newcomer("0.01")
    gateway.upstream.script = FAULTS["reports more than was held"].script
    answer = await gateway.call()
    has = await gateway.at_rest()
    (call,) = await gateway.calls()
    assert (has.posted, has.debt) == (Money(0), Money(0))
    assert (call.charged_nanos, call.cost_nanos) == (Money.parse("0.01").nanos, 20_000 + 5_000 * 2_000)
    assert Money.parse(f"{answer.json()['usage']['cost']:.9f}") == Money.parse("0.01")


async def test_an_answer_that_nobody_asked_for_is_not_given_to_the_next_caller(gateway: Gateway) -> None:
    gateway.upstream.script = FAULTS["sends a second answer that nobody asked for"].script
    await gateway.call()
    answer = await gateway.call(messages=[{"role": "user", "content": "And you?"}])
    assert answer.json()["choices"][0]["message"]["content"] == TEXT
    await gateway.at_rest()
    assert [call.counts.output for call in await gateway.calls()] == [SPENT["completion_tokens"]] * 2


async def test_the_connection_of_a_stream_is_used_again(gateway: Gateway) -> None:
    """The rest of a stream after its [DONE] does not cost the next call a new connection."""
    gateway.upstream.script = proper
    await gateway.stream()
    before = gateway.upstream.connections
    for _ in range(5):
        status, events = await gateway.stream()
        assert (status, events[0]) == (200, HELLO)
    assert gateway.upstream.connections == before
