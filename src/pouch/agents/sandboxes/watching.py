"""Where no disk can be limited by the system: look how much there is, and end what writes more."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from pouch.agents.sandboxes.place import PARTS, Place

LOOK_EVERY_S = 0.5


async def watch_disk(place: Place, bytes_max: int, is_full: Callable[[], Awaitable[None]]) -> None:
    """Look for ever; `is_full` is called each time there is too much."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        used = 0
        for part in PARTS:
            used += await asyncio.to_thread(used_bytes, place.part(part))
        if used > bytes_max:
            await is_full()


def used_bytes(folder: Path) -> int:
    """What a tree takes on the disk, holes not counted."""
    used = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                used += os.lstat(Path(parent, name)).st_blocks * 512
    return used
