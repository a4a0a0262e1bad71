import time

import httpx
import openai
import orjson
import pytest
from openai import AsyncOpenAI

from support.models import MODELS_KEY, serve_models

pytestmark = pytest.mark.anyio


async def post(base_url: str, body: object, key: str = MODELS_KEY) -> httpx.Response:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    async with httpx.AsyncClient() as http:
        return await http.post(
            f"{base_url}/chat/completions", content=content, headers={"authorization": f"Bearer {key}"}
        )


async def test_the_last_user_message_is_repeated_and_words_are_counted(client: AsyncOpenAI) -> None:
    """Words of every message count as input, words said as output."""
    answer = await client.chat.completions.create(
        model="pouch/paid",
        messages=[
            {"role": "system", "content": "You repeat."},
            {"role": "user", "content": "first question"},
            {"role": "assistant", "content": "first answer"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "  one\ntwo "},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "text", "text": "three"},
                ],
            },
        ],
    )
    assert answer.choices[0].message.content == "one two three"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (9, 3, 12)


async def test_a_stream_is_one_chunk_per_word_and_the_usage_when_asked(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="pouch/free",
        messages=[{"role": "user", "content": "alpha beta gamma"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert [chunk.choices[0].delta.content for chunk in chunks[1:4]] == ["alpha", " beta", " gamma"]
    assert chunks[4].choices[0].finish_reason == "stop"
    assert chunks[5].choices == []
    assert chunks[5].usage is not None
    assert (chunks[5].usage.prompt_tokens, chunks[5].usage.completion_tokens) == (3, 3)
    assert len(chunks) == 6
    assert len({chunk.id for chunk in chunks}) == 1


async def test_no_usage_without_asking(base_url: str) -> None:
    body = {"model": "pouch/free", "messages": [{"role": "user", "content": "a b"}], "stream": True}
    answer = await post(base_url, body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "usage" not in answer.text
    assert answer.text.endswith("data: [DONE]\n\n")
    assert answer.text.count("data: ") == 1 + 2 + 1 + 1


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("stream", [True, False])
async def test_the_answer_is_cut_and_says_so(base_url: str, name: str, stream: bool) -> None:
    message = {"role": "user", "content": "a b c d"}
    answer = await post(base_url, {"model": "pouch/paid", "messages": [message], name: 2, "stream": stream})
    assert '"finish_reason":"length"' in answer.text
    if stream:
        assert '" b"' in answer.text
        assert '" c"' not in answer.text
    else:
        assert answer.json()["choices"][0]["message"]["content"] == "a b"
        assert answer.json()["usage"]["completion_tokens"] == 2


async def test_as_many_words_as_allowed_are_no_cut(base_url: str) -> None:
    message = {"role": "user", "content": "a b"}
    answer = await post(base_url, {"model": "pouch/paid", "messages": [message], "max_tokens": 2})
    assert answer.json()["choices"][0]["finish_reason"] == "stop"


async def test_nothing_to_repeat_is_an_empty_answer(base_url: str) -> None:
    answer = await post(base_url, {"model": "pouch/free", "messages": [{"role": "system", "content": "Hush."}]})
    assert answer.json()["choices"][0]["message"] == {"role": "assistant", "content": ""}
    assert answer.json()["usage"] == {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1}


async def test_words_survive_any_script_and_quote(client: AsyncOpenAI) -> None:
    said = 'naïve "quoted" \\back 日本語 🙂 \x00zero {"content":"\\u0000"}'
    stream = await client.chat.completions.create(
        model="pouch/free", messages=[{"role": "user", "content": said}], stream=True
    )
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == said


async def test_models_are_listed(client: AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["pouch/free", "pouch/paid", "pouch/coder"]


USER = [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "not valid JSON"),
        ([], 400, "not a JSON object"),
        ({"messages": USER}, 400, "model is missing"),
        ({"model": "pouch/free"}, 400, "messages must be"),
        ({"model": "pouch/free", "messages": []}, 400, "messages must be"),
        ({"model": "pouch/free", "messages": ["hello"]}, 400, "messages must be"),
        ({"model": "pouch/free", "messages": USER, "n": 2}, 400, "one choice"),
        ({"model": "pouch/free", "messages": USER, "max_tokens": 0}, 400, "max_tokens must be"),
        ({"model": "pouch/free", "messages": USER, "max_tokens": True}, 400, "max_tokens must be"),
        ({"model": "pouch/free", "messages": USER, "tools": {}}, 400, "tools must be"),
        ({"model": "pouch/free", "messages": USER, "tools": [{"type": "function"}]}, 400, "function with a name"),
        ({"model": "pouch/other", "messages": USER}, 404, "does not exist"),
        ({"model": "pouch/free", "messages": [{"role": "user", "content": "w " * 32_769}]}, 400, "maximum context"),
    ],
)
async def test_what_cannot_be_answered_is_refused_in_openai_shape(
    base_url: str, body: object, status: int, words: str
) -> None:
    answer = await post(base_url, body)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}


async def test_a_wrong_key_is_refused(base_url: str) -> None:
    answer = await post(base_url, {"model": "pouch/free", "messages": USER}, key="another")
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    async with AsyncOpenAI(base_url=base_url, api_key="another", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.models.list()


async def test_an_unknown_address_is_refused(base_url: str) -> None:
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {MODELS_KEY}"}) as http:
        assert (await http.get(f"{base_url}/chat/completions")).status_code == 404
        assert (await http.get(f"{base_url}/embeddings")).status_code == 404


@pytest.mark.parametrize("stream", [True, False])
async def test_the_delay_is_waited_before_each_word(stream: bool) -> None:
    async with serve_models(delay_ms=40) as base_url:
        began = time.monotonic()
        body = {"model": "pouch/free", "messages": [{"role": "user", "content": "a b c"}], "stream": stream}
        await post(base_url, body)
        assert 0.12 <= time.monotonic() - began < 2


async def test_a_client_that_leaves_ends_the_wait() -> None:
    """Otherwise a server that stops would have to wait for answers nobody reads."""
    async with serve_models(delay_ms=60_000) as base_url:
        began = time.monotonic()
        body = {"model": "pouch/free", "messages": [{"role": "user", "content": "a b c"}], "stream": True}
        headers = {"authorization": f"Bearer {MODELS_KEY}"}
        async with (
            httpx.AsyncClient(headers=headers) as http,
            http.stream("POST", f"{base_url}/chat/completions", json=body) as answer,
        ):
            await anext(answer.aiter_bytes())
    assert time.monotonic() - began < 2
