"""A run's events as people read them: each step with what the ledger charged for it, and what was printed apart."""

from datetime import UTC, datetime, timedelta

import pytest

from agents.house import House
from pouch.agents.bill import keys_of
from pouch.agents.events import RunEvent, append, events_after
from pouch.agents.logs import printed, printing_events
from pouch.agents.timeline import items_of
from pouch.base.money import Money

BEGAN = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


def event(seq: int, type_: str, **body: object) -> RunEvent:
    return RunEvent(seq, BEGAN + timedelta(seconds=seq), type_, body)


def test_each_step_shows_what_the_ledger_charged_for_it_and_nothing_twice() -> None:
    """The second step asked twice, because the first answer broke off and was charged all the same."""
    events = [
        event(1, "usage", prompt_tokens=1200, completion_tokens=30),
        event(2, "tool_call", id="a", command="ls"),
        event(5, "usage", prompt_tokens=1300, completion_tokens=40),
        event(9, "usage", prompt_tokens=1, completion_tokens=1),
    ]
    charged = [(1, "0.002"), (3, "0.001"), (4, "0.003"), (20, "5")]
    calls = [(BEGAN + timedelta(seconds=second), Money.parse(usd)) for second, usd in charged]
    items = items_of(events, calls)
    assert [(item.text, item.cost) for item in items] == [
        ("Asked the model: 1,200 tokens in, 30 out", "$0.002"),
        ("Runs", ""),
        ("Asked the model: 1,300 tokens in, 40 out", "$0.004"),
        ("Asked the model: 1 tokens in, 1 out", ""),
    ]


def test_what_was_printed_stands_with_its_command() -> None:
    entries = printed(
        [
            event(1, "setup_log", command="make", text="one\n"),
            event(2, "setup_log", command="make", text="two\n"),
            event(3, "setup_log", command="make", code=0, reason="exited"),
            event(4, "setup_log", command="make", text="again\n"),
            event(5, "tool_call", id="a", command="ls"),
            event(6, "tool_call", id="b", command="false"),
            event(7, "tool_output", id="b", text="", code=1),
            event(8, "tool_output", id="a", text="x y", code=0),
            event(9, "log", text="a warning"),
            event(10, "log", text="another"),
        ]
    )
    assert [(each.command, each.text, each.code) for each in entries] == [
        ("make", "one\ntwo\n", 0),
        ("make", "again\n", None),
        ("ls", "x y", 0),
        ("false", "", 1),
        ("", "a warning\nanother\n", None),
    ]


@pytest.mark.anyio
async def test_the_logs_are_apart_from_the_timeline(house: House) -> None:
    run = await house.start()
    async with house.database.transaction() as db:
        await append(db, run.id, [("log", {"text": "noise"}), ("message", {"text": "I begin."})])
        assert [each.type for each in await printing_events(db, run.id)] == ["log"]
        assert "noise" not in str(items_of(await events_after(db, run.id, 0)))
        assert await keys_of(db, run.id) == []
