"""Keeping a process running: one that ends is started again, at once at first, then ever more patiently."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

PAUSE_S_MIN = 0.1
PAUSE_S_MAX = 10.0
STABLE_S = 60.0
"""A process that has run this long starts with a clean slate."""


class Kept(Protocol):
    """A process that can be started again."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def restart_failures(self) -> tuple[type[Exception], ...]:
        """What a new start may raise and is then tried again."""
        ...

    async def start(self) -> None:
        """Start it."""
        ...

    async def wait(self) -> int:
        """Wait until it ends, for its code: negative is the signal that ended it."""
        ...


class Backoff:
    """How long to wait before each new start."""

    def __init__(self) -> None:
        self._pause_s = PAUSE_S_MIN

    def after(self, lived_s: float) -> float:
        """The pause after a process that lived so long."""
        if lived_s >= STABLE_S:
            self._pause_s = PAUSE_S_MIN
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, PAUSE_S_MAX)
        return pause_s


async def keep_running(
    kept: Kept,
    *,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Start a process, that already runs, again whenever it ends. Never returns."""
    backoff = Backoff()
    while True:
        began = clock()
        ending = describe(await kept.wait())
        while True:
            pause_s = backoff.after(clock() - began)
            say(f"{kept.name} ended ({ending}); starting it again in {pause_s:g} s.")
            await sleep(pause_s)
            began = clock()
            try:
                await kept.start()
                break
            except kept.restart_failures as error:
                ending = str(error)


def describe(code: int) -> str:
    """The end of a process in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
