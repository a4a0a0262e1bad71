"""Upstreams whose choices, events or usage are odd."""

from faults.registry import (
    DONE,
    ENDING,
    ERROR,
    HELLO,
    SPENT,
    STOP,
    STREAM,
    TEXT,
    begin,
    fault,
    is_stream,
    json_of,
    proper,
)
from support.upstream import Exchange, Script, chunk, completion, usage, usage_chunk


@fault("gives no choices")
async def no_choices(exchange: Exchange) -> None:
    if is_stream(exchange):
        await exchange.stream([{"id": "c1", "choices": []}, usage_chunk(SPENT), DONE])
    else:
        await exchange.answer(completion(TEXT, SPENT) | {"choices": []})


@fault("gives choices that are none")
async def odd_choices(exchange: Exchange) -> None:
    if is_stream(exchange):
        await begin(exchange)
        await exchange.event({"choices": [None]})
        await exchange.until_gone()
    else:
        await exchange.answer(completion(TEXT, SPENT) | {"choices": [None]})


def of_choice(index: int, delta: dict[str, object], finish: str | None = None) -> dict[str, object]:
    return {"id": "c1", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


@fault("streams two answers in turns")
async def two_answers(exchange: Exchange) -> None:
    first = [of_choice(0, {"content": "a"}), of_choice(1, {"content": "b"}), of_choice(0, {}, "stop")]
    await exchange.stream([*first, of_choice(1, {"content": "c"}), of_choice(1, {}, "stop"), usage_chunk(SPENT), DONE])


@fault("ends one of two answers only")
async def one_of_two(exchange: Exchange) -> None:
    await exchange.stream([of_choice(0, {"content": TEXT}), of_choice(1, {"content": TEXT}), of_choice(0, {}, "stop")])


@fault("reports an error before its first chunk")
async def error_first(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.event(ERROR)
    await exchange.until_gone()


@fault("says in its first event that the conversation is too long")
async def too_long_first(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.event({"error": {"message": "This endpoint's maximum context length is 9 tokens.", "code": 400}})
    await exchange.until_gone()


@fault("reports an error after a comment")
async def error_after_comment(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.piece(b": still thinking\n\n")
    await exchange.event(ERROR)
    await exchange.until_gone()


@fault("reports an error after a chunk")
async def error_later(exchange: Exchange) -> None:
    await begin(exchange)
    await exchange.event(ERROR)
    await exchange.until_gone()


@fault("reports an error in the same piece as a chunk")
async def error_in_piece(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.piece(b"data: " + json_of(HELLO) + b"\n\ndata: " + json_of(ERROR) + b"\n\n")
    await exchange.until_gone()


@fault("reports an error after the finish reason")
async def error_last(exchange: Exchange) -> None:
    await begin(exchange)
    await exchange.event(STOP)
    await exchange.event(ERROR)
    await exchange.until_gone()


@fault("ends its lines in CRLF")
async def crlf(exchange: Exchange) -> None:
    await exchange.begin_stream()
    for event in STREAM:
        await exchange.piece(b"data: " + (event if isinstance(event, bytes) else json_of(event)) + b"\r\n\r\n")
    await exchange.end_stream()


@fault("leaves [DONE] out")
async def no_done(exchange: Exchange) -> None:
    await exchange.stream([HELLO, STOP, usage_chunk(SPENT)])


@fault("leaves the last blank line out")
async def no_blank_line(exchange: Exchange) -> None:
    await begin(exchange)
    await exchange.event(STOP)
    await exchange.piece(b"data: " + json_of(usage_chunk(SPENT)))
    await exchange.end_stream()


@fault("goes on after [DONE]")
async def after_done(exchange: Exchange) -> None:
    await exchange.stream([HELLO, *ENDING, HELLO, ERROR, usage_chunk(usage(4000, 4000))])


@fault("sends a second answer that nobody asked for")
async def second_answer(exchange: Exchange) -> None:
    if exchange.body["messages"][0]["content"] == "And you?":
        await proper(exchange)
        return
    extra = json_of(completion("for somebody else", usage(4000, 4000)))
    body = json_of(completion(TEXT, SPENT))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    await exchange.raw(head % len(body) + body + head % len(extra) + extra)


def reports(spent: object) -> Script:
    async def script(exchange: Exchange) -> None:
        last = {"id": "c1", "choices": [], "usage": spent}
        if is_stream(exchange):
            await exchange.stream([HELLO, STOP, *([last] if spent is not None else []), DONE])
        else:
            document = completion(TEXT)
            del document["usage"]
            await exchange.answer(document | ({"usage": spent} if spent is not None else {}))

    return script


fault("reports no usage")(reports(None))
fault("reports usage that is no object")(reports([20, 8]))
fault("reports usage in words")(reports({"prompt_tokens": "twenty", "completion_tokens": 8}))
fault("reports half of its usage")(reports({"prompt_tokens": 20}))
fault("reports negative usage")(reports(usage(20, -8)))
fault("reports fractions of tokens")(reports(usage(20, 8) | {"completion_tokens": 8.5}))
fault("reports more cached than sent")(reports(usage(20, 8, prompt_tokens_details={"cached_tokens": 21})))
fault("reports more than can be true")(reports(usage(20, 50_000_000)))
OVER, NOTHING = usage(20, 5_000), usage(0, 0)
fault("reports more than was held", spent=OVER)(reports(OVER))
fault("reports nothing used", spent=NOTHING)(reports(NOTHING))


@fault("reports usage in every chunk")
async def running_usage(exchange: Exchange) -> None:
    await exchange.stream(
        [
            chunk({"content": TEXT}, usage=usage(20, 1)),
            chunk({"content": TEXT}, usage=usage(20, 5)),
            chunk({}, "stop", usage=SPENT),
            DONE,
        ]
    )


@fault("reports usage in every chunk and breaks off")
async def running_usage_cut(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.event(chunk({"content": TEXT}, usage=usage(20, 1)))
    exchange.reset()
