"""A mock upstream: `python -m bench.parts.mock` prints its port and answers chat completions as quickly as Python can.

Without "stream" an answer is one JSON document. With it, it is 64 events, 10 ms apart, then the usage and the end.
It reads no more of a request than where it ends and whether it streams.
"""

import asyncio
from typing import cast

import uvloop

STREAM_EVENTS = 64
EVERY_S = 0.010
BACKLOG = 4096

_HEAD = b'"id":"chatcmpl-0123456789","object":"chat.completion%b","created":1760000000,"model":"mock"'
_SAID = b"The quick brown fox jumps over the lazy dog. " * 3
_USAGE = b'{"prompt_tokens":100,"completion_tokens":64,"total_tokens":164}'
_WHOLE = (
    b"{" + _HEAD % b"" + b',"choices":[{"index":0,"message":{"role":"assistant","content":"' + _SAID + b'"},'
    b'"finish_reason":"stop"}],"usage":' + _USAGE + b"}"
)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(_WHOLE), _WHOLE)


def _piece(choices: bytes, more: bytes = b"") -> bytes:
    event = b"data: {" + _HEAD % b".chunk" + b',"choices":' + choices + more + b"}\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


_BEGIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_WORDS = [
    _piece(b'[{"index":0,"delta":{"content":" word%d"},"finish_reason":null}]' % number)
    for number in range(STREAM_EVENTS)
]
_END = (
    _piece(b'[{"index":0,"delta":{},"finish_reason":"stop"}]')
    + _piece(b"[]", b',"usage":' + _USAGE)
    + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
)


class Mock(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self) -> None:
        self._rest = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (size := _request_size(self._rest)) is not None:
            request, self._rest = self._rest[:size], self._rest[size:]
            if b'"stream":true' in request or b'"stream": true' in request:
                self._transport.write(_BEGIN)
                self._stream(0, asyncio.get_running_loop().time())
            else:
                self._transport.write(_ANSWER)

    def _stream(self, number: int, due: float) -> None:
        if number == STREAM_EVENTS:
            self._transport.write(_END)
            return
        self._transport.write(_WORDS[number])
        due += EVERY_S
        self._timer = asyncio.get_running_loop().call_at(due, self._stream, number + 1, due)


def _request_size(text: bytes) -> int | None:
    """How long the first request in the text is; None while it is not all there."""
    begin = text.find(b"\r\n\r\n") + 4
    if begin < 4:
        return None
    head = text[:begin].lower()
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        size = begin + int(head[at + 17 : head.index(b"\r\n", at + 2)])
    elif b"\r\ntransfer-encoding:" in head:
        end = text.find(b"0\r\n\r\n", begin)
        size = end + 5 if end >= 0 else len(text) + 1
    else:
        size = begin
    return size if size <= len(text) else None


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Mock, "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
