"""What Roo Code's extension and CLI depend on when they call: their headers and bodies, and what must come back."""

from decimal import Decimal
from typing import Any

import pytest

from support.gateway import Gateway, events_of
from support.upstream import Exchange, chunk, completion, usage, usage_chunk, words_of

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def streaming(gateway: Gateway) -> None:
    gateway.upstream.script = spoken


TASK = "0d9e5f1c-8b7a-4c52-9c3d-3f2b1a0e9d8c"
HEADERS = {
    "http-referer": "https://github.com/RooVetGit/Roo-Cline",
    "x-title": "Roo Code",
    "user-agent": "RooCode/3.52.1",
    "x-roo-app-version": "3.52.1",
    "x-roo-task-id": TASK,
    "x-stainless-lang": "js",
    "x-stainless-retry-count": "0",
}
SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string"}},
    "required": ["path"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "read_file", "strict": True, "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "mcp--maps--find", "strict": False, "parameters": SCHEMA}},
]
DETAILS = [{"type": "reasoning.encrypted", "data": "b3BhcXVl", "id": "rs_1", "index": 0}]
ECHO = {
    "role": "assistant",
    "content": "I look.",
    "reasoning_details": DETAILS,
    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": "{}"}}],
}
TURN: dict[str, Any] = {
    "max_tokens": 800,
    "temperature": 0,
    "messages": [
        {"role": "system", "content": "You are Roo."},
        {"role": "user", "content": [{"type": "text", "text": "Mend it"}]},
        ECHO,
        {"role": "tool", "tool_call_id": "call_1", "content": "print()"},
    ],
    "stream": True,
    "stream_options": {"include_usage": True},
    "reasoning": {"enabled": True, "effort": "medium"},
    "tools": TOOLS,
    "tool_choice": "auto",
}


async def spoken(exchange: Exchange) -> None:
    await exchange.stream(words_of(3))


async def whole(exchange: Exchange) -> None:
    await exchange.answer(completion("Hello"))


async def turn(gateway: Gateway, model: str = "up/paid", **changes: Any) -> list[Any]:
    """One turn of a task, answered with three words unless the test says otherwise."""
    answer = await gateway.call(model=model, headers=HEADERS, **(TURN | changes))
    assert answer.status_code == 200, answer.text
    return events_of(answer.content)


async def test_reasoning_tools_and_echoes_reach_a_server_that_knows_them(gateway: Gateway) -> None:
    await turn(gateway)
    (seen,) = gateway.upstream.seen
    assert {name: seen[name] for name in TURN} == TURN


async def test_openais_own_servers_are_asked_in_their_words(gateway: Gateway) -> None:
    """They refuse `reasoning`, `reasoning_details` and, for their newer models, `max_tokens` and a temperature."""
    await turn(gateway, "as-openai/paid")
    (seen,) = gateway.upstream.seen
    assert (seen["max_completion_tokens"], seen["reasoning_effort"]) == (800, "medium")
    assert seen.keys().isdisjoint({"max_tokens", "reasoning", "temperature"})
    assert seen["messages"][2] == {name: value for name, value in ECHO.items() if name != "reasoning_details"}
    assert seen["tools"] == TOOLS


@pytest.mark.parametrize("reasoning", [{"enabled": False}, {"enabled": True}, {"effort": 5}, "much", None])
async def test_no_effort_is_made_up(gateway: Gateway, reasoning: object) -> None:
    await turn(gateway, "as-openai/paid", reasoning=reasoning)
    assert gateway.upstream.seen[0].keys().isdisjoint({"reasoning", "reasoning_effort"})


async def test_a_plain_server_is_asked_for_no_more_than_it_knows(gateway: Gateway) -> None:
    """The bound of the output is renamed, never lost: the hold counts on it."""
    await turn(gateway, "as-plain/paid", max_tokens=None, max_completion_tokens=700)
    (seen,) = gateway.upstream.seen
    assert seen["max_tokens"] == 700
    assert seen.keys().isdisjoint({"max_completion_tokens", "reasoning", "temperature"})
    assert "reasoning_details" not in seen["messages"][2]
    assert seen["tools"][0]["function"] == {"name": "read_file", "parameters": SCHEMA}


@pytest.mark.parametrize("tools", [5, [5], [{"type": "function"}], [{"function": "x"}]])
async def test_tools_that_are_none_are_the_servers_to_refuse(gateway: Gateway, tools: object) -> None:
    await turn(gateway, "as-plain/paid", tools=tools, messages=[{"role": "user", "content": "hi"}])
    assert gateway.upstream.seen[0]["tools"] == tools


async def test_reasoning_comes_back_as_it_was_said(gateway: Gateway) -> None:
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "reasoning": "Let me see", "reasoning_details": DETAILS},
        {"reasoning_content": "In another's words"},
        {"content": "Done"},
    ]

    async def script(exchange: Exchange) -> None:
        await exchange.stream([*map(chunk, deltas), chunk({}, "stop"), usage_chunk(usage(10, 3)), b"[DONE]"])

    gateway.upstream.script = script
    events = await turn(gateway)
    assert [event["choices"][0]["delta"] for event in events[:3]] == deltas


async def test_parallel_tool_calls_come_in_their_pieces(gateway: Gateway) -> None:
    def piece(index: int, arguments: str, **more: object) -> dict[str, object]:
        return {"tool_calls": [{"index": index, "function": {"arguments": arguments}, **more}]}

    deltas = [
        piece(0, "", id="a", type="function"),
        piece(1, "", id="b", type="function"),
        piece(0, '{"path":'),
        piece(1, '{"path":"y"}'),
        piece(0, '"x"}'),
    ]

    async def script(exchange: Exchange) -> None:
        await exchange.stream([*map(chunk, deltas), chunk({}, "tool_calls"), usage_chunk(usage(10, 9)), b"[DONE]"])

    gateway.upstream.script = script
    events = await turn(gateway)
    assert [event["choices"][0]["delta"] for event in events[:5]] == deltas
    assert events[5]["choices"][0]["finish_reason"] == "tool_calls"
    assert all(isinstance(event["choices"], list) for event in events[:-1])


async def test_usage_names_cached_tokens_and_the_cost_where_roo_looks(gateway: Gateway) -> None:
    """`prompt_tokens` is the whole input. Some upstreams say what was written to the cache in another place."""
    spent = usage(1000, 100, prompt_tokens_details={"cached_tokens": 400, "cache_write_tokens": 50})

    async def script(exchange: Exchange) -> None:
        await exchange.stream([chunk({"content": "x"}), chunk({}, "stop"), usage_chunk(spent), b"[DONE]"])

    gateway.upstream.script = script
    events = await turn(gateway)
    told = events[-2]["usage"]
    assert events[-2]["choices"] == []
    assert (told["prompt_tokens"], told["prompt_tokens_details"]["cached_tokens"]) == (1000, 400)
    assert told["cache_creation_input_tokens"] == 50
    assert Decimal(str(told["cost"])) == Decimal("0.0012")


async def test_the_task_and_the_version_are_kept_with_the_call(gateway: Gateway) -> None:
    await turn(gateway)
    await gateway.at_rest()
    (call,) = await gateway.calls()
    assert (call.app, call.task_id) == ("Roo Code 3.52.1", TASK)


@pytest.mark.parametrize(
    ("given", "app", "task_id"),
    [
        ({}, "", ""),
        ({"user-agent": "OpenAI/Python 2.9.0"}, "OpenAI Python", ""),
        ({"x-title": "Kilo Code", "user-agent": "Kilo/1"}, "Kilo Code", ""),
        ({"x-roo-app-version": "3.51.0"}, "Roo Code 3.51.0", ""),
        ({"x-title": "x" * 500}, "x" * 80, ""),
        ({"x-title": "caf\xe9", "x-roo-task-id": "a b"}, "caf", ""),
        ({"x-roo-task-id": "t" * 65}, "", ""),
        ({"x-roo-task-id": "t" * 64}, "", "t" * 64),
    ],
)
async def test_odd_headers_are_cut_to_what_can_be_kept(
    gateway: Gateway, given: dict[str, str], app: str, task_id: str
) -> None:
    headers = {"user-agent": ""} | given
    gateway.upstream.script = whole
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = await gateway.call(headers=raw)  # type: ignore[arg-type]  # httpx takes bytes, too
    assert answer.status_code == 200
    await gateway.at_rest()
    (call,) = await gateway.calls()
    assert (call.app, call.task_id) == (app, task_id)


async def test_a_question_without_a_stream_is_answered_in_one_piece(gateway: Gateway) -> None:
    """Its "enhance prompt" sends nothing but the model and a message."""

    async def script(exchange: Exchange) -> None:
        await exchange.answer(completion("Better words", usage(3, 2)))

    gateway.upstream.script = script
    answer = await gateway.call(max_tokens=None)
    assert answer.json()["choices"][0]["message"]["content"] == "Better words"
