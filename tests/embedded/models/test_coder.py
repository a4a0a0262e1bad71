import json
from collections.abc import Iterable, Mapping

import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam, ChatCompletionToolParam

from pouch.embedded.models.example import example

pytestmark = pytest.mark.anyio

STRINGS = {"path": {"type": "string"}, "content": {"type": "string"}}


def tool(name: str, properties: Mapping[str, object]) -> ChatCompletionToolParam:
    schema: dict[str, object] = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


ROO_TOOLS = [
    tool("ask_followup_question", {"question": {"type": "string"}}),
    tool("attempt_completion", {"result": {"type": "string"}}),
    tool("list_files", {"path": {"type": "string"}, "recursive": {"type": "boolean"}}),
    tool("write_to_file", STRINGS),
    tool("read_file", {"path": {"type": "string"}, "limit": {"type": ["integer", "null"]}}),
    tool("execute_command", {"command": {"type": "string"}, "cwd": {"type": ["string", "null"]}}),
]


async def play(client: AsyncOpenAI, tools: Iterable[ChatCompletionToolParam]) -> list[tuple[str, object]]:
    """Run a session as an agent does: every call gets a result, until there is no call or the task is completed."""
    calls: list[tuple[str, object]] = []
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Write a greeting."}]
    for _ in range(10):
        answer = await client.chat.completions.create(model="pouch/coder", messages=messages, tools=tools)
        made = answer.choices[0].message.tool_calls
        if not made:
            return calls
        assert answer.choices[0].finish_reason == "tool_calls"
        (call,) = made
        assert call.type == "function"
        calls.append((call.function.name, json.loads(call.function.arguments)))
        if call.function.name == "attempt_completion":
            return calls
        messages.append(
            {
                "role": "assistant",
                "content": answer.choices[0].message.content,
                "tool_calls": [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.function.name, "arguments": call.function.arguments},
                    }
                ],
            }
        )
        messages.append({"role": "tool", "tool_call_id": call.id, "content": "Done."})
    raise AssertionError("the session never ends")


async def test_a_session_with_roos_tools_writes_a_file_and_completes(client: AsyncOpenAI) -> None:
    calls = await play(client, ROO_TOOLS)
    assert calls[:-1] == [
        ("list_files", {"path": ".", "recursive": False}),
        ("write_to_file", {"path": "hello.py", "content": 'print("Hello from Pouch")\n'}),
        ("read_file", {"path": "hello.py", "limit": None}),
        ("execute_command", {"command": "python3 hello.py", "cwd": None}),
    ]
    assert calls[-1][0] == "attempt_completion"


async def test_steps_without_their_tool_are_left_out(client: AsyncOpenAI) -> None:
    calls = await play(client, [tool("read_file", STRINGS), tool("attempt_completion", {"result": {"type": "string"}})])
    assert [name for name, _ in calls] == ["read_file", "attempt_completion"]


async def test_tools_nobody_told_it_about_are_called_by_their_schema(client: AsyncOpenAI) -> None:
    calls = await play(
        client, [tool("roll_dice", {"sides": {"type": "integer", "minimum": 4}, "why": {"type": "string"}})]
    )
    assert calls == [("roll_dice", {"sides": 4, "why": "why"})]


async def test_without_tools_it_answers_in_text(client: AsyncOpenAI) -> None:
    assert await play(client, []) == []


async def test_a_tool_that_is_asked_for_is_the_only_one(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="pouch/coder",
        messages=[{"role": "user", "content": "Write."}],
        tools=ROO_TOOLS,
        tool_choice={"type": "function", "function": {"name": "read_file"}},
    )
    assert only_call(answer)[0] == "read_file"
    answer = await client.chat.completions.create(
        model="pouch/coder", messages=[{"role": "user", "content": "Write."}], tools=ROO_TOOLS, tool_choice="none"
    )
    assert answer.choices[0].message.tool_calls is None


def only_call(answer: ChatCompletion) -> tuple[str, str]:
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    return call.function.name, call.function.arguments


async def test_a_streamed_call_is_the_same_call_and_every_piece_counts(client: AsyncOpenAI) -> None:
    """The streamed text and arguments put together are the whole answer's, and as many tokens."""
    asked: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": "Write."},
        {"role": "tool", "tool_call_id": "call_1", "content": "Done."},
    ]
    whole = await client.chat.completions.create(model="pouch/coder", messages=asked, tools=ROO_TOOLS)
    stream = await client.chat.completions.create(
        model="pouch/coder", messages=asked, tools=ROO_TOOLS, stream=True, stream_options={"include_usage": True}
    )
    text, name, arguments, pieces = "", "", "", 0
    async for chunk in stream:
        if chunk.usage:
            assert chunk.usage.completion_tokens == pieces
            assert chunk.usage == whole.usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for call in choice.delta.tool_calls or []:
                assert call.function is not None
                name += call.function.name or ""
                arguments += call.function.arguments or ""
            pieces += bool(choice.delta.content or choice.delta.tool_calls)
    assert (name, arguments) == only_call(whole)
    assert text == whole.choices[0].message.content


async def test_a_call_can_be_cut_in_the_middle(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="pouch/coder",
        messages=[{"role": "user", "content": "Write."}, {"role": "tool", "tool_call_id": "1", "content": "Done."}],
        tools=ROO_TOOLS,
        max_tokens=7,
    )
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 7
    name, arguments = only_call(answer)
    assert name == "write_to_file"
    with pytest.raises(json.JSONDecodeError):
        json.loads(arguments)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, {}),
        ({"type": "object", "properties": {"a": {"enum": ["x", "y"]}, "b": {"const": 3}}}, {"a": "x", "b": 3}),
        ({"properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a", "c"]}, {"a": "a"}),
        ({"properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}, {"a": None}),
        ({"properties": {"a": {"type": "array", "items": {"type": "number"}}}}, {"a": [1]}),
        ({"properties": {"a": {"type": "array"}}}, {"a": []}),
        (
            {"properties": {"files": {"type": "array", "items": {"properties": {"path": {"type": "string"}}}}}},
            {"files": [{"path": "hello.py"}]},
        ),
        ({"properties": "nonsense"}, {}),
    ],
)
def test_arguments_fit_the_schema(schema: object, expected: object) -> None:
    assert example(schema, {"path": "hello.py"}) == expected


def test_an_endless_schema_ends() -> None:
    schema: dict[str, object] = {"type": "object"}
    schema["properties"] = {"again": schema}
    assert isinstance(example(schema, {}), dict)
