"""A process that ends is started again: at once at first, then ever more patiently."""

import asyncio
from collections.abc import Iterable

import pytest

from pouch.up.keeping import Backoff, describe, keep_running

pytestmark = pytest.mark.anyio


class Scripted:
    """A process that lives as long as the script says, on a clock of its own."""

    name = "serve"
    restart_failures = (OSError,)

    def __init__(self, lives: Iterable[float], *, failing_starts: int = 0) -> None:
        self._lives = iter(lives)
        self._failing_starts = failing_starts
        self.now = 0.0
        self.starts = 0
        self.pauses: list[float] = []
        self.said: list[str] = []

    async def start(self) -> None:
        if self._failing_starts:
            self._failing_starts -= 1
            raise OSError("no memory")
        self.starts += 1

    async def wait(self) -> int:
        life = next(self._lives, None)
        if life is None:
            raise asyncio.CancelledError
        self.now += life
        return -9

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def keep(self) -> None:
        with pytest.raises(asyncio.CancelledError):
            await keep_running(self, say=self.said.append, clock=lambda: self.now, sleep=self.sleep)


async def test_the_first_new_start_is_well_below_a_second() -> None:
    serve = Scripted([5])
    await serve.keep()
    assert serve.starts == 1
    assert serve.pauses == [0.1]
    assert serve.said == ["serve ended (SIGKILL); starting it again in 0.1 s."]


async def test_one_that_keeps_dying_is_started_ever_more_slowly() -> None:
    serve = Scripted([1] * 9)
    await serve.keep()
    assert serve.pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]


async def test_a_stable_minute_is_a_clean_slate() -> None:
    serve = Scripted([1, 1, 1, 60, 1])
    await serve.keep()
    assert serve.pauses == [0.1, 0.2, 0.4, 0.1, 0.2]


async def test_a_start_that_fails_is_tried_again() -> None:
    """Postgres with a full disk must not take the others with it."""
    postgres = Scripted([5], failing_starts=2)
    await postgres.keep()
    assert postgres.starts == 1
    assert postgres.pauses == [0.1, 0.2, 0.4]
    assert "no memory" in postgres.said[1]


def test_pauses_stay_within_their_bounds() -> None:
    backoff = Backoff()
    pauses = [backoff.after(0) for _ in range(100)]
    assert min(pauses) == 0.1
    assert max(pauses) == 10


@pytest.mark.parametrize(
    ("code", "words"), [(0, "exit code 0"), (1, "exit code 1"), (-15, "SIGTERM"), (-77, "signal 77")]
)
def test_endings_have_words(code: int, words: str) -> None:
    assert describe(code) == words
