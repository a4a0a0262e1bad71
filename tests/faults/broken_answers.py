"""Upstreams that cannot be reached, break off, fall silent, or answer something else."""

import gzip

from faults.registry import (
    DONE,
    ENDING,
    ERROR,
    HELLO,
    MEGABYTE,
    SPENT,
    STOP,
    STREAM,
    TEXT,
    begin,
    fault,
    is_stream,
    json_of,
    pour,
)
from support.upstream import Exchange, Script, chunk, completion, usage_chunk


@fault("refuses the connection", model="deaf/paid")
@fault("does not speak TLS at an https address", model="plain/paid")
@fault("shows a certificate that nobody vouches for", model="self-signed/paid")
async def unreachable(_exchange: Exchange) -> None:
    raise AssertionError("nothing gets here")


# ---------------------------------------------------------------- it breaks off or falls silent


@fault("resets the connection before its answer")
async def resets(exchange: Exchange) -> None:
    exchange.reset()


@fault("closes the connection without an answer")
async def closes(exchange: Exchange) -> None:
    exchange.close()


@fault("breaks off in its head")
async def half_a_head(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\ncontent-ty")
    exchange.close()


@fault("falls silent before its first byte")
async def silent(exchange: Exchange) -> None:
    await exchange.until_gone()


@fault("falls silent after its head")
async def silent_after_head(exchange: Exchange) -> None:
    if is_stream(exchange):
        await exchange.begin_stream()
    else:
        await exchange.raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n")
    await exchange.until_gone()


@fault("falls silent in the middle of a chunk")
async def silent_in_chunk(exchange: Exchange) -> None:
    await begin(exchange)
    await exchange.raw(b'40\r\ndata: {"choices":')
    await exchange.until_gone()


@fault("resets the connection in the middle of a chunk")
async def cut_in_chunk(exchange: Exchange) -> None:
    await begin(exchange)
    await exchange.raw(b'40\r\ndata: {"choices":')
    exchange.reset()


@fault("resets the connection after its head")
async def cut_after_head(exchange: Exchange) -> None:
    await exchange.begin_stream()
    exchange.reset()


@fault("closes in order before the finish reason")
async def ends_early(exchange: Exchange) -> None:
    await exchange.stream([HELLO])


@fault("says [DONE] before the finish reason")
async def done_early(exchange: Exchange) -> None:
    await exchange.stream([HELLO, DONE])


@fault("sends less than its content-length")
async def short_body(exchange: Exchange) -> None:
    if is_stream(exchange):
        await exchange.raw(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 5000\r\n\r\n")
        await exchange.raw(b"data: " + json_of(HELLO) + b"\n\n")
    else:
        body = json_of(completion(TEXT, SPENT))
        await exchange.raw(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(body) + 1) + body)
    exchange.close()


@fault("resets the connection after the finish reason")
async def cut_after_finish(exchange: Exchange) -> None:
    await begin(exchange)
    await exchange.event(STOP)
    exchange.reset()


@fault("drips byte by byte")
async def drips(exchange: Exchange) -> None:
    body = b"".join(b"data: " + (event if isinstance(event, bytes) else json_of(event)) + b"\n\n" for event in STREAM)
    await exchange.begin_stream()
    for byte in body:
        await exchange.piece(bytes([byte]))
    await exchange.end_stream()


def refuses(status: int, headers: str = "") -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.answer({"error": {"message": "the key sk-upstream-secret is wrong"}}, status, headers)

    return script


fault("answers 400")(refuses(400))
fault("answers 401")(refuses(401))
fault("answers 404")(refuses(404))
fault("answers 413")(refuses(413))


@fault("says that the conversation is too long")
async def too_long(exchange: Exchange) -> None:
    await exchange.answer({"error": {"message": "prompt is too long: 213462 tokens > 200000 maximum"}}, 400)


fault("answers 429 with Retry-After: 7")(refuses(429, "retry-after: 7\r\n"))
fault("answers 429 with a Retry-After of 5,000 digits")(refuses(429, f"retry-after: {'9' * 5000}\r\n"))
fault("answers 500")(refuses(500))
fault("answers 502")(refuses(502))
fault("answers 503")(refuses(503))
fault("answers 529")(refuses(529))
fault("answers 302")(refuses(302, "location: http://127.0.0.1:1/\r\n"))


@fault("answers 204")
async def nothing(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 204 X\r\n\r\n")


@fault("answers what is not HTTP")
async def not_http(exchange: Exchange) -> None:
    await exchange.raw(b"\x16\x03\x01 220 mail.example ESMTP\r\n\r\n")
    exchange.close()


@fault("answers 200 with an error body")
async def error_body(exchange: Exchange) -> None:
    await exchange.answer(ERROR)


@fault("answers JSON that is none")
async def nojson_of(exchange: Exchange) -> None:
    if is_stream(exchange):
        await begin(exchange)
        await exchange.event(b'{"choices": [')
        await exchange.until_gone()
    else:
        await exchange.answer(b'{"choices": [')


@fault("sends half a UTF-8 character")
async def half_a_character(exchange: Exchange) -> None:
    broken = json_of(completion("€", SPENT)).replace("€".encode(), b"\xe2\x82")
    if is_stream(exchange):
        await begin(exchange)
        await exchange.event(json_of(chunk({"content": "€"})).replace("€".encode(), b"\xe2\x82"))
        await exchange.until_gone()
    else:
        await exchange.answer(broken)


@fault("cuts a UTF-8 character between two pieces")
async def character_in_two(exchange: Exchange) -> None:
    body = b"data: " + json_of(chunk({"content": "€€€€€"})) + b"\n\n"
    where = body.index("€".encode()) + 1
    await exchange.begin_stream()
    await exchange.piece(body[:where])
    await exchange.piece(body[where:])
    for event in ENDING:
        await exchange.event(event)
    await exchange.end_stream()


@fault("calls its answer text/html")
async def wrong_type(exchange: Exchange) -> None:
    body = json_of(completion(TEXT, SPENT))
    if is_stream(exchange):
        body = b"data: " + json_of(HELLO) + b"\n\n"
    await exchange.raw(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


@fault("streams although it was not asked to")
async def streams_unasked(exchange: Exchange) -> None:
    await exchange.stream([HELLO, *ENDING])


@fault("compresses although it was not asked to")
async def compresses(exchange: Exchange) -> None:
    if is_stream(exchange):
        kind, body = (
            b"text/event-stream",
            b"".join(b"data: " + json_of(event) + b"\n\n" for event in STREAM[:-1]),
        )
    else:
        kind, body = b"application/json", json_of(completion(TEXT, SPENT))
    body = gzip.compress(body)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
    await exchange.raw(head % (kind, len(body)) + body)


@fault("compresses 80 MB to a few kB")
async def bomb(exchange: Exchange) -> None:
    body = gzip.compress(b" " * 80 * MEGABYTE, 1)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
    await exchange.raw(head % len(body) + body)


@fault("sends an event of 10 MB")
async def long_line(exchange: Exchange) -> None:
    await exchange.stream([chunk({"content": "x" * 10 * MEGABYTE}), *ENDING])


@fault("sends an event without an end")
async def endless_line(exchange: Exchange) -> None:
    await begin(exchange)
    await exchange.raw(b"%x\r\ndata: " % (1024 * MEGABYTE))
    await pour(exchange)


@fault("sends an answer without an end")
async def endless_answer(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
    await pour(exchange)


@fault("sends an answer nested 900 deep")
async def deep(exchange: Exchange) -> None:
    nested = b"[" * 900 + b"]" * 900
    if is_stream(exchange):
        await begin(exchange)
        await exchange.event(json_of(STOP)[:-1] + b',"more":' + nested + b"}")
        await exchange.event(usage_chunk(SPENT))
        await exchange.event(DONE)
        await exchange.end_stream()
    else:
        await exchange.answer(json_of(completion(TEXT, SPENT))[:-1] + b',"more":' + nested + b"}")


@fault("sends usage nested 900 deep")
async def deep_usage(exchange: Exchange) -> None:
    nested = json_of(SPENT)[:-1] + b',"more":' + b"[" * 900 + b"]" * 900 + b"}"
    if is_stream(exchange):
        await begin(exchange)
        await exchange.event(STOP)
        await exchange.event(b'{"choices":[],"usage":' + nested + b"}")
        await exchange.event(DONE)
        await exchange.end_stream()
    else:
        document = completion(TEXT)
        del document["usage"]
        await exchange.answer(json_of(document)[:-1] + b',"usage":' + nested + b"}")
