"""The official OpenAI SDK, as it is installed, under each of the three addresses."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from openai import (
    APIStatusError,
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    OpenAI,
)
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

from journeys.clients import README, cost_of, run_readme
from support.pouch import Funds, RunningPouch

PREFIXES = ("/v1", "/proxy/v1", "/api/v1")
TEXT = "one two three four five"
COST = Decimal("0.000015000")
"""Five words in at $1, five out at $2 a million."""
SAID: list[ChatCompletionMessageParam] = [{"role": "user", "content": TEXT}]


@pytest.fixture(scope="module")
def key(pouch: RunningPouch) -> str:
    return pouch.add_person("sdk@example.com", usd="1")


@pytest.fixture(params=PREFIXES)
def client(pouch: RunningPouch, key: str, request: pytest.FixtureRequest) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{pouch.url}{request.param}", api_key=key, max_retries=0) as client:
        yield client


def test_the_program_of_the_readme_prints_what_the_readme_says(pouch: RunningPouch, key: str) -> None:
    assert run_readme(pouch.url, key) == ["Count to three: one two three", "cost in dollars: 0.000018000"]
    assert "= $0.000018." in README.read_text(encoding="utf-8")


def test_it_lists_models(client: OpenAI) -> None:
    assert {"pouch/free", "pouch/paid", "pouch/coder"} <= {model.id for model in client.models.list()}
    paid = client.models.retrieve("pouch/paid")
    assert (paid.id, paid.object) == ("pouch/paid", "model")


def test_it_chats(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="pouch/paid", messages=SAID)
    assert raw.headers["x-generation-id"].startswith("gen_")
    answer = raw.parse()
    (choice,) = answer.choices
    assert (choice.message.content, choice.finish_reason) == (TEXT, "stop")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (5, 5, 10)
    assert cost_of(answer.usage) == COST


def test_it_streams_and_gets_the_usage_it_asked_for(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="pouch/paid", messages=SAID, stream=True, stream_options={"include_usage": True}
        )
    )
    assert text_of(chunks) == TEXT
    *before, last = chunks
    assert [chunk.usage for chunk in before] == [None] * len(before)
    assert last.choices == []
    assert cost_of(last.usage) == COST


def test_it_streams_and_finds_the_usage_beside_the_finish_reason(client: OpenAI) -> None:
    """Programs that index into `choices` never meet an empty list unless they asked for usage."""
    chunks = list(client.chat.completions.create(model="pouch/paid", messages=SAID, stream=True))
    assert text_of(chunks) == TEXT
    assert all(chunk.choices for chunk in chunks)
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "stop"]
    assert cost_of(chunks[-1].usage) == COST


def test_it_stops_at_max_tokens(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="pouch/paid", messages=SAID, max_completion_tokens=2)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("one two", "length")
    assert cost_of(answer.usage) == Decimal("0.000009")


def test_its_stream_helper_puts_the_answer_together(client: OpenAI) -> None:
    with client.chat.completions.stream(model="pouch/paid", messages=SAID) as stream:
        answer = stream.get_final_completion()
    assert answer.choices[0].message.content == TEXT


def test_it_gets_tool_calls(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="pouch/coder",
        messages=[{"role": "user", "content": "Write a file"}],
        tools=[{"type": "function", "function": {"name": "attempt_completion", "parameters": {"type": "object"}}}],
    )
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert answer.choices[0].finish_reason == "tool_calls"


def test_it_raises_its_own_errors(pouch: RunningPouch, client: OpenAI) -> None:
    with pytest.raises(NotFoundError, match="no model 'gpt-9'"):
        client.chat.completions.create(model="gpt-9", messages=SAID)
    with pytest.raises(BadRequestError, match="max_tokens") as bad:
        client.chat.completions.create(model="pouch/paid", messages=SAID, max_tokens=-1)
    assert bad.value.param == "max_tokens"
    with pytest.raises(AuthenticationError, match="not known here"):
        client.with_options(api_key="sk-pouch-wrong").chat.completions.create(model="pouch/paid", messages=SAID)
    assert pouch.balance("sdk@example.com").held == 0


def test_a_key_that_reached_its_limit_is_refused_for_that_reason(pouch: RunningPouch, key: str) -> None:
    limited = pouch.does("key", "add", "sdk@example.com", "Small", "--limit", "0.00001").strip()
    with OpenAI(base_url=f"{pouch.url}/v1", api_key=limited) as client, pytest.raises(APIStatusError) as refused:
        client.chat.completions.create(model="pouch/paid", messages=SAID)
    assert refused.value.status_code == 402
    assert isinstance(refused.value.body, dict)
    assert refused.value.body["metadata"]["limit_source"] == "key_limit"
    with OpenAI(base_url=f"{pouch.url}/v1", api_key=key) as client:
        assert client.chat.completions.create(model="pouch/paid", messages=SAID).choices


@pytest.mark.anyio
async def test_its_async_client_leaves_in_the_middle_and_pays_for_what_it_saw(pouch: RunningPouch) -> None:
    """The answer is cut off by the client: charged by four bytes a token, input and what was made so far of an echo."""
    key = pouch.add_person("leaver@example.com", usd="1")
    words = "word " * 8_000
    async with AsyncOpenAI(base_url=f"{pouch.url}/v1", api_key=key) as client:
        stream = await client.chat.completions.create(
            model="pouch/paid", messages=[{"role": "user", "content": words}], stream=True
        )
        async for _ in stream:
            break
        await stream.close()
    left = pouch.settled_balance("leaver@example.com")
    tokens = len(words) // 4
    assert 1 - Decimal("0.000001") * (tokens + 100 + 2 * tokens) <= left.available < 1 - Decimal("0.000001") * tokens


@pytest.mark.anyio
async def test_the_balance_is_what_the_answers_said(pouch: RunningPouch) -> None:
    """What is gone is the sum of every `usage.cost`, to the nano-dollar."""
    key = pouch.add_person("sums@example.com", usd="1")
    spent = Decimal(0)
    async with AsyncOpenAI(base_url=f"{pouch.url}/v1", api_key=key) as client:
        for length in (1, 2, 3, 50):
            answer = await client.chat.completions.create(
                model="pouch/paid", messages=[{"role": "user", "content": "word " * length}]
            )
            spent += cost_of(answer.usage)
    assert spent == 56 * Decimal("0.000003")
    assert pouch.balance("sums@example.com") == Funds(1 - spent)


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
