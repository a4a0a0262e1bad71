"""Server-sent events, cut out of whatever pieces they arrive in."""

import re

EVENT_BYTES_MAX = 16 * 1024 * 1024
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_SEAM = 3
"""A blank line is at most LF CR LF: so many bytes before a piece can belong to one that ends in it."""


class EventReader:
    """Feed it pieces, get whole events. Lines may end in LF or CRLF, and a piece may end anywhere.

    It takes time in proportion to the bytes: an event of megabytes that comes in small pieces is put together once.
    """

    __slots__ = ("_rest", "_seam", "_size", "is_overlong")

    def __init__(self) -> None:
        self.is_overlong = False
        """An event was, or has grown, beyond 16 MB: nothing after it is read."""
        self._rest: list[bytes] = []
        self._seam = b""
        self._size = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """The events that are complete now, each without its blank line."""
        if self._rest:
            seam = self._seam + piece
            if b"\n\n" not in seam and b"\n\r\n" not in seam:
                self._keep(piece)
                return []
            piece = b"".join((*self._rest, piece))
        if b"\r" in piece:
            *events, rest = _BLANK_LINE.split(piece)
            events = [event.replace(b"\r\n", b"\n") for event in events]
        else:
            *events, rest = piece.split(b"\n\n")
        self._rest, self._seam, self._size = [], b"", 0
        if rest:
            self._keep(rest)
        if len(piece) > EVENT_BYTES_MAX:
            for index, event in enumerate(events):
                if len(event) > EVENT_BYTES_MAX:
                    self.is_overlong = True
                    del events[index:]
                    break
        return [event for event in events if event.strip(b"\r\n")]

    def end(self) -> list[bytes]:
        """What is left when the stream ends; some servers leave the last blank line out."""
        rest = b"".join(self._rest).replace(b"\r\n", b"\n").strip(b"\r\n")
        self._rest = []
        return [rest] if rest else []

    def _keep(self, piece: bytes) -> None:
        self._rest.append(piece)
        self._seam = (self._seam + piece)[-_SEAM:]
        self._size += len(piece)
        if self._size > EVENT_BYTES_MAX:
            self.is_overlong = True


def data_of(event: bytes) -> bytes | None:
    """The data of an event, its lines put together. None for comments and events without data."""
    if event.startswith(b"data:") and b"\n" not in event:
        return event[5:].strip()
    lines = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def event_of(data: bytes) -> bytes:
    """An event with this data."""
    return b"data: " + data + b"\n\n"
