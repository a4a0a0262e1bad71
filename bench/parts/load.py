"""The load: `python -m bench.parts.load PORT …` calls chat completions and prints what came of it as one line of JSON.

Without --rate the connections each ask again as soon as they are answered. With it calls begin at that rate, however
many are under way, and a connection is added when none is free. A latency runs from the call's first byte sent to its
last byte received; timers have a grain of a millisecond, so it does not run from when the call was due.
"""

import argparse
import asyncio
import gc
import time
from collections import Counter
from typing import cast

import orjson
import uvloop
from bench.parts.tables import percentile

PROMPT = ("lorem ipsum dolor sit amet " * 15)[:400]
PATIENCE_S = 60


class Load:
    """All connections, and the sum of what they saw."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.request = _request(options)
        self.outcomes: Counter[str] = Counter()
        self.latencies_s: list[float] = []
        self.firsts_s: list[float] = []
        self.events = 0
        self.is_over = False
        self._options = options
        self._free: list[Connection] = []
        self._under_way = 0
        self._begun = 0
        self._done = asyncio.Event()

    async def run(self) -> dict[str, object]:
        """Call for the length of the run, then wait for the answers that are still due."""
        options = self._options
        self._free = [await self._connect() for _ in range(options.connections)]
        began, waited = time.perf_counter(), time.process_time()
        if options.rate:
            await self._call_at_rate(began)
        else:
            for connection in list(self._free):
                self.begin(connection)
            await asyncio.sleep(options.seconds) if not options.requests else await self._done.wait()
        took = time.perf_counter() - began
        answered = self.outcomes["200"]
        self.is_over = True
        async with asyncio.timeout(PATIENCE_S):
            while self._under_way:  # noqa: ASYNC110 -- once, at the end
                await asyncio.sleep(0.005)
        self.latencies_s.sort()
        self.firsts_s.sort()
        return {
            "rps": answered / took,
            "outcomes": dict(self.outcomes),
            "events": self.events,
            "p50_ms": percentile(self.latencies_s, 0.5) * 1e3,
            "p99_ms": percentile(self.latencies_s, 0.99) * 1e3,
            "max_ms": percentile(self.latencies_s, 1) * 1e3,
            "first_p50_ms": percentile(self.firsts_s, 0.5) * 1e3,
            "first_p99_ms": percentile(self.firsts_s, 0.99) * 1e3,
            "load_cpu": (time.process_time() - waited) / took,
        }

    async def _call_at_rate(self, began: float) -> None:
        for number in range(round(self._options.rate * self._options.seconds)):
            due = began + number / self._options.rate
            if (ahead := due - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            if not self._free:
                self._free.append(await self._connect())
            self.begin(self._free[-1])

    async def _connect(self) -> "Connection":
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self), "127.0.0.1", self._options.port
        )
        return connection

    def begin(self, connection: "Connection") -> None:
        if self._options.rate:
            self._free.remove(connection)
        self._under_way += 1
        self._begun += 1
        connection.ask()

    def end(self, connection: "Connection", outcome: str, *, is_closed: bool) -> None:
        """A call is over; in a closed loop its connection begins the next one."""
        self._under_way -= 1
        self.outcomes[outcome] += 1
        if self._options.requests and self._begun >= self._options.requests:
            self._done.set()
            return
        if is_closed:
            assert self.is_over or self._options.rate, f"the server closed a connection: {outcome}"
        elif self._options.rate:
            self._free.append(connection)
        elif not self.is_over:
            self.begin(connection)


class Connection(asyncio.Protocol):
    """One kept connection: one call at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._is_asking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def ask(self) -> None:
        """Send the request."""
        self._is_asking = True
        self._head = b""
        self._status = b""
        self._left: int | None = None
        self._tail = b""
        self._first_s = 0.0
        self._events = 0
        self._began = time.perf_counter()
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        if not self._status:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            self._status = self._head[9:12]
            self._left = _content_length(self._head[:end].lower())
            data = self._head[end + 4 :]
        if not data:
            return
        if not self._first_s:
            self._first_s = time.perf_counter() - self._began
        if self._left is not None:
            self._left -= len(data)
            is_done = self._left <= 0
        else:
            text = self._tail + data
            self._events += text.count(b"data:") - self._tail.count(b"data:")
            self._tail = text[-6:]
            is_done = text.endswith(b"\r\n0\r\n\r\n") or text == b"0\r\n\r\n"
        if is_done:
            self._finish()

    def connection_lost(self, _error: Exception | None) -> None:
        if self._is_asking:
            self._load.end(self, "cut", is_closed=True)

    def _finish(self) -> None:
        self._is_asking = False
        load, status = self._load, self._status.decode()
        if status == "200":
            load.latencies_s.append(time.perf_counter() - self._began)
            load.firsts_s.append(self._first_s)
            load.events += self._events
        load.end(self, status, is_closed=False)


def _content_length(head: bytes) -> int | None:
    at = head.find(b"\r\ncontent-length:")
    return int(head[at + 17 :].partition(b"\r\n")[0]) if at >= 0 else None


def _request(options: argparse.Namespace) -> bytes:
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": PROMPT},
    ]
    document: dict[str, object] = {"model": options.model, "messages": messages, "max_tokens": 256}
    if options.stream:
        document |= {"stream": True, "stream_options": {"include_usage": True}}
    body = orjson.dumps(document)
    head = [
        f"POST {options.path} HTTP/1.1",
        f"Host: 127.0.0.1:{options.port}",
        "Content-Type: application/json",
        "Accept: */*",
        f"Authorization: Bearer {options.key}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--path", default="/v1/chat/completions")
    parser.add_argument("--model", default="mock")
    parser.add_argument("--key", default="none")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--requests", type=int, default=0, help="end after so many instead of after so long")
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--stream", action="store_true")
    return parser.parse_args()


async def main() -> None:
    # A pause of the collector would be counted as the server's latency.
    gc.disable()
    print(orjson.dumps(await Load(parse()).run()).decode())


if __name__ == "__main__":
    uvloop.run(main())
