"""One turn of the model: a chat completion, streamed over the relay's socket."""

import http.client
import json
import random
import socket
import time
from collections.abc import Callable, Iterator

SOCKET = "/run/pouch/gateway.sock"
ADDRESS = ("127.0.0.1", 8080)
"""Where there is no socket, as in a pod."""
SILENCE_S = 600
TRIES = 6
AWAY_MAX_S = 300
"""How long a gateway that cannot be reached at all is waited for: it is being restarted."""
AWAY_PAUSE_S = 3
PAUSE_MAX_S = 30
AGAIN = {408, 425, 429, 500, 502, 503, 504, 529}

Json = dict[str, "object"]


class OutOfCredits(Exception):
    """The gateway refused for money: it will not change its mind."""


class ModelFailed(Exception):
    """The model cannot be asked; the text says why."""


class TooLong(ModelFailed):
    """The conversation is longer than the model can read."""


class Stopped(Exception):
    """Somebody asked us to end while the model was answering."""


class _UnixConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        try:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(self.timeout)
            self.sock.connect(SOCKET)
        except FileNotFoundError:
            self.sock.close()
            self.sock = socket.create_connection(ADDRESS, self.timeout)


def ask(model: str, messages: list[Json], tools: list[Json], is_stopped: Callable[[], bool]) -> tuple[Json, Json]:
    """The assistant's message and the usage. Tries again while the server is busy. Raises what is above."""
    body = {"model": model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    if tools:
        body["tools"] = tools
    raw = json.dumps(body).encode()
    attempt, away_until = 0, 0.0
    while True:
        attempt += 1
        try:
            status, answer, pause_s = _once(raw, is_stopped)
        except (OSError, http.client.HTTPException) as error:
            status, answer, pause_s = 599, f"the connection broke: {error}", 0.0
        if isinstance(answer, tuple):
            return answer
        if status == 402:
            raise OutOfCredits(answer)
        if status == 400 and "context" in answer.lower():
            raise TooLong(answer)
        if status == 503 and "gateway cannot be reached" in answer:
            now = time.monotonic()
            away_until = away_until or now + AWAY_MAX_S
            if now < away_until:
                attempt -= 1
                _sleep(AWAY_PAUSE_S, is_stopped)
                continue
        if status not in AGAIN | {599} or attempt == TRIES:
            raise ModelFailed(f"{status}: {answer}" if status < 599 else answer)
        spread = 0.5 + random.random() / 2  # noqa: S311 -- so that many agents do not come again at once
        _sleep(min(PAUSE_MAX_S, max(pause_s, 2 ** (attempt - 1) * spread)), is_stopped)


def _once(body: bytes, is_stopped: Callable[[], bool]) -> tuple[int, tuple[Json, Json] | str, float]:
    connection = _UnixConnection("gateway", timeout=SILENCE_S)
    try:
        headers = {"content-type": "application/json", "accept": "text/event-stream"}
        connection.request("POST", "/v1/chat/completions", body, headers)
        response = connection.getresponse()
        if response.status != 200:
            text = response.read(16384).decode(errors="replace")
            return response.status, _error_text(text), _seconds(response.getheader("retry-after"))
        return 200, _collect(_events(response, is_stopped)), 0.0
    finally:
        connection.close()


def _events(response: http.client.HTTPResponse, is_stopped: Callable[[], bool]) -> Iterator[Json]:
    for line in response:
        if is_stopped():
            raise Stopped
        if not line.startswith(b"data:"):
            continue
        data = line[5:].strip()
        if data == b"[DONE]":
            return
        document = json.loads(data)
        if isinstance(document, dict):
            yield document


def _collect(events: Iterator[Json]) -> tuple[Json, Json]:
    text: list[str] = []
    calls: dict[int, dict[str, str]] = {}
    usage: Json = {}
    try:
        for event in events:
            if isinstance(error := event.get("error"), dict):
                raise http.client.HTTPException(str(error.get("message") or error))
            if isinstance(found := event.get("usage"), dict):
                usage = found
            for choice in _list(event.get("choices")):
                delta = choice.get("delta")
                if not isinstance(delta, dict):
                    continue
                if isinstance(piece := delta.get("content"), str):
                    text.append(piece)
                for part in _list(delta.get("tool_calls")):
                    _add_call(calls, part)
    except ValueError as error:
        raise http.client.HTTPException(f"the answer is not JSON: {error}") from error
    message: Json = {"role": "assistant", "content": "".join(text) or None}
    if calls:
        message["tool_calls"] = [
            {
                "id": call["id"] or f"call_{index}",
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for index, call in sorted(calls.items())
        ]
    return message, usage


def _add_call(calls: dict[int, dict[str, str]], part: Json) -> None:
    index = part.get("index")
    call = calls.setdefault(index if isinstance(index, int) else len(calls), {"id": "", "name": "", "arguments": ""})
    if isinstance(found := part.get("id"), str) and found:
        call["id"] = found
    function = part.get("function")
    if isinstance(function, dict):
        if isinstance(name := function.get("name"), str) and name:
            call["name"] = name
        if isinstance(arguments := function.get("arguments"), str):
            call["arguments"] += arguments


def _list(value: object) -> list[Json]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _error_text(text: str) -> str:
    try:
        document = json.loads(text)
    except ValueError:
        return text[:500]
    error = document.get("error") if isinstance(document, dict) else None
    found = error.get("message") if isinstance(error, dict) else None
    return str(found or text)[:500]


def _seconds(text: str | None) -> float:
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return 0.0


def _sleep(seconds: float, is_stopped: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if is_stopped():
            raise Stopped
        time.sleep(min(left, 0.1))
