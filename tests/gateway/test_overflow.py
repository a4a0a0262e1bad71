"""However a server says that a conversation is too long, the caller is told so in the words that clients know."""

import re
from typing import Any

import pytest

from pouch.base.money import ZERO, Money
from pouch.gateway.overflow import is_overflow
from support.gateway import Gateway
from support.upstream import Exchange, chunk

pytestmark = pytest.mark.anyio

ROO_LOOKS_FOR = re.compile("context length|context window|maximum context|tokens exceed|too many tokens")

SAID = {
    "openai": "This model's maximum context length is 128000 tokens. However, your messages resulted in 130001 tokens.",
    "openai responses": "Your input exceeds the context window of this model. Please adjust your input and try again.",
    "anthropic": "prompt is too long: 213462 tokens > 200000 maximum",
    "anthropic with output": "input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000",
    "gemini": "The input token count (1196265) exceeds the maximum number of tokens allowed (1048576).",
    "bedrock": "Input is too long for requested model.",
    "xai": "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
    "mistral": "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    "groq": "Please reduce the length of the messages or completion.",
    "openrouter": "This endpoint's maximum context length is 163840 tokens. However, you requested 170000.",
    "together": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193.",
    "cohere": "too many tokens: size limit exceeded by 11326 tokens.",
    "minimax": "invalid params, context window exceeds limit",
    "moonshot": "Invalid request: Your request exceeded model token limit: 262144 (requested: 300000)",
    "z.ai": "Prompt too long",
    "alibaba": "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 983616]",
    "github": "prompt token count of 70000 exceeds the limit of 64000",
    "vllm": "The decoder prompt (length 40000) is longer than the maximum model length of 32768.",
    "llama.cpp": "the request exceeds the available context size, try increasing it",
    "lm studio": "The number of tokens to keep from the initial prompt is greater than the context length.",
    "ollama": "prompt too long; exceeded max context length by 5 tokens",
}
OTHER = {
    "a wrong field": "Unrecognized request argument supplied: reasoning",
    "too much output": "max_tokens: 99999 > 64000, which is the maximum allowed number of output tokens for this model",
    "a wrong tool": "Invalid schema for function 'read_file'",
    "a rate": "too many tokens per minute, please try again later",
}


@pytest.mark.parametrize("vendor", SAID)
def test_every_vendors_words_are_known(vendor: str) -> None:
    assert is_overflow({"error": {"message": SAID[vendor], "code": 400}})
    assert is_overflow({"error": SAID[vendor]})
    assert not is_overflow({"error": {"message": SAID[vendor], "code": 429}})


@pytest.mark.parametrize("what", OTHER)
def test_other_faults_of_a_request_are_not_taken_for_it(what: str) -> None:
    assert not is_overflow({"error": {"message": OTHER[what], "code": "invalid_request_error"}})


@pytest.mark.parametrize("document", [None, [], "x", {}, {"error": None}, {"error": []}, {"error": {"message": 5}}])
def test_what_says_nothing_is_not_taken_for_it(document: object) -> None:
    assert not is_overflow(document)
    assert is_overflow(document, 413)


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    "error", [{"message": SAID["anthropic"]}, {"message": "no", "code": "context_length_exceeded"}]
)
async def test_the_caller_is_told_in_the_words_that_make_roo_shorten_the_conversation(
    gateway: Gateway, error: dict[str, Any], *, is_stream: bool
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer({"error": error}, status=400)

    gateway.upstream.script = script
    await is_told(gateway, is_stream=is_stream)


async def test_the_same_when_it_is_said_in_a_stream_that_has_not_begun(gateway: Gateway) -> None:
    """OpenRouter answers 200 and says it in the first event."""

    async def script(exchange: Exchange) -> None:
        await exchange.stream([{"error": {"message": SAID["openrouter"], "code": 400}}])

    gateway.upstream.script = script
    await is_told(gateway, is_stream=True)


async def is_told(gateway: Gateway, *, is_stream: bool) -> None:
    answer = await gateway.call(stream=is_stream)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "context_length_exceeded")
    assert ROO_LOOKS_FOR.search(error["message"])
    assert answer.headers["x-should-retry"] == "false"
    has = await gateway.at_rest()
    assert (has.posted, has.held) == (Money.parse("10"), ZERO)


async def test_in_the_middle_of_an_answer_it_ends_the_answer(gateway: Gateway) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.stream([chunk({"content": "Some words"}), {"error": {"message": SAID["gemini"]}}])

    gateway.upstream.script = script
    status, events = await gateway.stream()
    assert (status, len(events)) == (200, 2)
    assert ROO_LOOKS_FOR.search(events[1]["error"]["message"])
