"""Ids: UUIDv7 in the database, with a prefix that says what they name wherever people see them."""

import base64
import os
import re
import time
from uuid import UUID, uuid5

_POUCH = UUID("6f2b7a55-9c1e-5d0b-8a3f-70756368f00d")
_LETTERS = "0123456789abcdefghijklmnopqrstuv"
_PAIRS = [first + second for first in _LETTERS for second in _LETTERS]
_SHIFTS = range(120, -1, -10)
_SHOWN = re.compile(r"([a-z]{2,8})_([0-9a-v]{26})", re.ASCII)


def new_id() -> UUID:
    """A UUIDv7: its first 48 bits are the time, so new rows land at the end of every index."""
    raw = bytearray(os.urandom(16))
    raw[0:6] = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    return UUID(bytes=bytes(raw))


def derived_id(key: str) -> UUID:
    """The one id that belongs to a key such as "pi:pi_123:credit": the same key always gives the same id."""
    return uuid5(_POUCH, key)


def show_id(prefix: str, value: UUID) -> str:
    """Write an id for people and APIs: `show_id("gen", id)` gives "gen_" and 26 letters and digits."""
    # Two spare bits at the end make 130 bits, which are 13 pairs of letters of five bits each.
    bits = value.int << 2
    return f"{prefix}_{''.join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])}"


def read_id(prefix: str, text: str) -> UUID | None:
    """Read what `show_id` wrote. None when it is not an id of that kind."""
    parts = _SHOWN.fullmatch(text)
    if parts is None or parts[1] != prefix:
        return None
    return UUID(bytes=base64.b32hexdecode(parts[2].upper() + "======"))
