"""The official Python SDK, unmodified, against a running Pouch. Its other calls: journeys/test_openai_sdk.py."""

import asyncio
from collections.abc import Callable
from decimal import Decimal

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam
from openai.types.completion_usage import CompletionUsage
from pydantic import BaseModel

from sdks.accounts import add_customer, spent_by
from support.pouch import RunningPouch

TEXT = "one two three four five"
COST = Decimal("0.000015")
"""Five words in at $1, five out at $2 a million."""


class WriteToFile(BaseModel):
    """Write a file."""

    path: str
    content: str


class ReadFile(BaseModel):
    """Read a file."""

    path: str


TOOLS = [
    openai.pydantic_function_tool(WriteToFile, name="write_to_file"),
    openai.pydantic_function_tool(ReadFile, name="read_file"),
]
Turn = Callable[[OpenAI, list[ChatCompletionMessageParam]], ChatCompletion]


def whole(client: OpenAI, messages: list[ChatCompletionMessageParam]) -> ChatCompletion:
    return client.chat.completions.parse(model="pouch/coder", messages=messages, tools=TOOLS)


def streamed(client: OpenAI, messages: list[ChatCompletionMessageParam]) -> ChatCompletion:
    with client.chat.completions.stream(model="pouch/coder", messages=messages, tools=TOOLS) as stream:
        return stream.get_final_completion()


@pytest.mark.parametrize("asks_usage", [False, True])
def test_its_async_client_chats_and_streams(pouch: RunningPouch, *, asks_usage: bool) -> None:
    alice = add_customer(pouch, f"python-{asks_usage}@example.com")
    answer, chunks = asyncio.run(chat_and_stream(pouch, alice.secret, asks_usage=asks_usage))
    assert (answer.choices[0].message.content, cost_of(answer.usage)) == (TEXT, COST)
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == TEXT
    assert [bool(chunk.usage) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert bool(chunks[-1].choices) is not asks_usage
    assert cost_of(chunks[-1].usage) == COST
    assert spent_by(pouch, alice) == 2 * COST


@pytest.mark.parametrize("turn", [whole, streamed])
def test_a_model_works_with_tools_until_it_ends(pouch: RunningPouch, turn: Turn) -> None:
    """The model calls a tool, the program runs it and gives back the result, twice; then the model is done."""
    alice = add_customer(pouch, f"python-{turn.__name__}@example.com")
    files: dict[str, str] = {}
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Write a program that greets."}]
    spent = Decimal(0)
    with OpenAI(base_url=f"{pouch.url}/v1", api_key=alice.secret) as client:
        while True:
            answer = turn(client, messages)
            spent += cost_of(answer.usage)
            (choice,) = answer.choices
            if choice.finish_reason != "tool_calls":
                break
            messages += said_and_done(answer, files)
    assert (choice.message.content, choice.finish_reason) == ("The program is written and tested.", "stop")
    assert files == {"hello.py": 'print("Hello from Pouch")\n'}
    assert spent_by(pouch, alice) == spent > 0


async def chat_and_stream(
    pouch: RunningPouch, key: str, *, asks_usage: bool
) -> tuple[ChatCompletion, list[ChatCompletionChunk]]:
    """One question, answered whole and in a stream."""
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": TEXT}]
    async with AsyncOpenAI(base_url=f"{pouch.url}/v1", api_key=key) as client:
        answer = await client.chat.completions.create(model="pouch/paid", messages=messages)
        stream = await client.chat.completions.create(
            model="pouch/paid",
            messages=messages,
            stream=True,
            stream_options={"include_usage": True} if asks_usage else openai.omit,
        )
        return answer, [chunk async for chunk in stream]


def said_and_done(answer: ChatCompletion, files: dict[str, str]) -> list[ChatCompletionMessageParam]:
    """What the model said, and what came of its calls, for the next turn."""
    message = answer.choices[0].message
    done: list[ChatCompletionMessageParam] = []
    for call in message.tool_calls or []:
        assert call.type == "function"
        match call.function.parsed_arguments:  # type: ignore[attr-defined]  # parse() and stream() add it
            case WriteToFile(path=path, content=content):
                files[path] = content
                result = f"Wrote {len(content)} characters."
            case ReadFile(path=path):
                result = files[path]
            case other:
                pytest.fail(f"a tool was called with {other}")
        done.append({"role": "tool", "tool_call_id": call.id, "content": result})
    # The message goes back as it came: the SDK takes it, though its types say otherwise.
    return [message, *done]  # type: ignore[list-item]


def cost_of(usage: CompletionUsage | None) -> Decimal:
    """The field that Pouch adds. The SDK reads it as a float, whose shortest decimal is what was sent."""
    assert usage is not None
    assert usage.model_extra is not None
    return Decimal(str(usage.model_extra["cost"]))
