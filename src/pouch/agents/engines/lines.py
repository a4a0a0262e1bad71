"""Lines and events of a size that a timeline can keep, whatever an engine says."""

from collections.abc import Iterator, Mapping

import orjson

from pouch.agents.engines.types import EVENT_BYTES_MAX, Event, EventType

LINE_BYTES_MAX = 4 * 1024 * 1024
TEXT_MAX = 16 * 1024


class Lines:
    """Puts pieces together to lines. What is longer than a line may be is cut, and the rest of it left out."""

    def __init__(self) -> None:
        self._begun = bytearray()
        self._is_skipping = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that are whole now."""
        *whole, begun = data.split(b"\n")
        for part in whole:
            if not self._is_skipping:
                self._begun += part[: LINE_BYTES_MAX - len(self._begun)]
                yield bytes(self._begun)
            self._begun.clear()
            self._is_skipping = False
        if self._is_skipping:
            return
        self._begun += begun
        if len(self._begun) > LINE_BYTES_MAX:
            yield bytes(self._begun[:LINE_BYTES_MAX])
            self._begun.clear()
            self._is_skipping = True

    def rest(self) -> Iterator[bytes]:
        """What came behind the last line's end."""
        if self._begun:
            yield bytes(self._begun)
            self._begun.clear()


def event_of(kind: EventType, data: Mapping[str, object]) -> Event:
    """An event that is surely JSON, and surely not too large: its texts are cut where it is."""
    fields = {str(name)[:64]: value for name, value in list(data.items())[:32]}
    if len(orjson.dumps(fields)) > EVENT_BYTES_MAX:
        fields = {name: _short(value) for name, value in fields.items()}
        fields["is_cut"] = True
    return Event(kind, fields)


def log(line: bytes) -> Event:
    """What was not understood."""
    return Event("log", {"text": line[:TEXT_MAX].decode(errors="replace")})


def _short(value: object) -> object:
    if isinstance(value, str):
        # A character has four bytes at most, or is written as six.
        return value[: TEXT_MAX // 4]
    return value if isinstance(value, int | float | bool) or value is None else str(value)[: TEXT_MAX // 16]
