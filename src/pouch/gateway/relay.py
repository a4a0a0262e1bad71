"""What goes on to the caller of an upstream's stream, what is held back, and what is counted meanwhile.

Rule. Every event goes on as it came, at once, but for these: the usage, which is sent once, after the charge is
committed, as a chunk of its own when the caller asked for usage and else on the chunk with the finish reason (which
waits for it); a chunk without `choices` gets an empty list, because clients index into it; and the end.

The answer is whole once every choice that began has given its finish reason, with or without the closing [DONE]. What
is wrong with a stream (an error inside it, what is no chunk, an event beyond 16 MB, an end that is none) ends it there;
events before that go on, however they were cut into pieces.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from pouch.gateway.answers import with_usage
from pouch.gateway.errors import UpstreamFailed
from pouch.gateway.events import EventReader, data_of, event_of
from pouch.gateway.overflow import is_overflow, too_long

_TEXT_FIELDS = ("content", "reasoning", "reasoning_content", "refusal")
_HEAD = ("id", "object", "created", "model")


@dataclass(slots=True)
class Relay:
    """One stream on its way through."""

    asked_usage: bool
    text_bytes: int = 0
    """UTF-8 bytes of output seen so far, visible and reasoning."""
    has_called: bool = False
    """A tool was called."""
    usage: Mapping[str, object] | None = None
    """What the upstream said last; a running count until the answer is whole."""
    is_done: bool = False
    """The stream said that it is over."""
    failed: UpstreamFailed | None = None
    """What is wrong with the stream. Nothing after it is read."""

    _reader: EventReader = field(default_factory=EventReader)
    _last: bytes = b""
    """The chunk with the finish reason, held back until the usage is known."""
    _finished: dict[object, bool] = field(default_factory=dict)
    """Of each choice that began, whether it has given its finish reason."""
    _head: dict[str, object] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether the answer came to its end."""
        return bool(self._finished) and all(self._finished.values())

    def feed(self, piece: bytes) -> bytes:
        """What may go on now. Look at `failed` and `is_done` after sending it."""
        onward = self._take_all(self._reader.feed(piece))
        if self._reader.is_overlong and self.failed is None:
            self.failed = UpstreamFailed("The model's server sent an event of more than 16 MB.")
        return onward

    def end(self) -> bytes:
        """The upstream closed the stream: what may still go on. `failed` when the answer is not whole."""
        rest = self._take_all(self._reader.end()) if self.failed is None else b""
        if self.failed is None and not self.is_whole:
            self.failed = UpstreamFailed("The model's server broke off in the middle of its answer.")
        return rest

    def saw_whole(self, choices: object) -> None:
        """The same of an answer that was not streamed."""
        for choice in choices if isinstance(choices, list) else ():
            message = choice.get("message") if isinstance(choice, dict) else None
            self._finished[len(self._finished)] = True
            self.has_called |= isinstance(message, dict) and bool(message.get("tool_calls"))

    def closing(self, usage: bytes) -> bytes:
        """The last events, after the charge: the held back chunk, the usage with its cost, the end."""
        chunk = self._last or orjson.dumps({**self._head, "choices": []})
        return event_of(with_usage(chunk, usage)) + event_of(b"[DONE]")

    def _take_all(self, events: list[bytes]) -> bytes:
        onward: list[bytes] = []
        try:
            for event in events:
                onward.append(self._take(event))  # noqa: PERF401 -- what came before a failure is kept
        except UpstreamFailed as error:
            self.failed = error
        return b"".join(onward)

    def _take(self, event: bytes) -> bytes:
        if self.is_done:
            return b""
        data = data_of(event)
        if data is None:
            return event + b"\n\n"
        if data == b"[DONE]":
            self.is_done = True
            return b""
        chunk = _chunk(data)
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            choices = None
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self.usage = usage
        if not self._head:
            self._head = {name: chunk[name] for name in _HEAD if isinstance(chunk.get(name), str | int)}
        finishes = self._count(choices) if choices else False
        if not choices and isinstance(usage, dict):
            return b""
        held, self._last = self._last, b""
        before = event_of(held) if held else b""
        is_held = finishes and not self.asked_usage
        if choices is None or isinstance(usage, dict) or (is_held and "usage" in chunk):
            chunk = {**chunk, "choices": choices or []}
            chunk.pop("usage", None)
            data = json_of(chunk)
        if is_held:
            self._last = data
            return before
        return before + event_of(data)

    def _count(self, choices: list[object]) -> bool:
        finishes = False
        for choice in choices:
            if not isinstance(choice, dict):
                raise UpstreamFailed("The model's server sent a chunk that is none.")
            index = choice.get("index")
            if not isinstance(index, int):
                index = 0
            if choice.get("finish_reason") is not None:
                finishes = self._finished[index] = True
            else:
                self._finished.setdefault(index, False)
            delta = choice.get("delta")
            if isinstance(delta, dict):
                self.text_bytes += text_bytes(delta)
                if delta.get("tool_calls"):
                    self.has_called = True
        return finishes


def text_bytes(message: Mapping[str, object]) -> int:
    """The UTF-8 bytes of what a message or delta says: text, reasoning, and the tools it calls."""
    size = 0
    for name in _TEXT_FIELDS:
        text = message.get(name)
        if isinstance(text, str):
            size += len(text) if text.isascii() else len(text.encode())
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            size += sum(len(text.encode()) for text in function.values() if isinstance(text, str))
    return size


def _chunk(data: bytes) -> dict[str, object]:
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise UpstreamFailed("The model's server sent a chunk that is not JSON.") from None
    if not isinstance(chunk, dict):
        raise UpstreamFailed("The model's server sent a chunk that is none.")
    if chunk.get("error"):
        if is_overflow(chunk):
            raise too_long(error_text(chunk))
        raise UpstreamFailed(f"The model's server reported an error: {error_text(chunk)}")
    return chunk


def json_of(document: Mapping[str, object]) -> bytes:
    """Write what an upstream sent anew. Raises UpstreamFailed for what is nested too deeply to be written."""
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:
        raise UpstreamFailed("The model's server sent an answer that is nested too deeply.") from None


def error_text(document: object) -> str:
    """What an upstream's error says, short enough to pass on."""
    error = document.get("error") if isinstance(document, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return message[:500] if isinstance(message, str) and message else "it gave no reason"
