"""Passwords: argon2id in two threads, with a bounded queue before them."""

import asyncio
import base64
import os
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import TypeVar

from pwdlib.hashers.argon2 import Argon2Hasher

from pouch.base.errors import InvalidInput, Unavailable
from pouch.base.languages import say

LENGTH_MIN = 10
BYTES_MAX = 256
DIFFERENT_MIN = 4
"""Fewer different characters than this are one key held down."""
THREADS = 2
QUEUE_MAX = 20
"""How many may wait or run. At 0.3 s each on two threads the last one waits three seconds; more are sent away."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Cost:
    """How hard a guess is. The second choice of RFC 9106; raising it rehashes at each person's next sign-in."""

    memory_kib: int = 65536
    passes: int = 3
    lanes: int = 4


def read_password(text: str, *, email: str) -> str:
    """A new password, as long as the rules let it. Raises InvalidInput with the sentence for the field."""
    if len(text) < LENGTH_MIN:
        raise InvalidInput(say("Use at least %(least)s characters.", least=LENGTH_MIN), field="password")
    if len(_bytes(text)) > BYTES_MAX:
        raise InvalidInput(say("Use at most %(most)s characters.", most=BYTES_MAX), field="password")
    if len(set(text)) < DIFFERENT_MIN:
        raise InvalidInput(say("This one is too easy to guess: it repeats itself."), field="password")
    if text.casefold().strip() == email.casefold().strip():
        raise InvalidInput(say("This one is too easy to guess: it is your e-mail address."), field="password")
    return text


class Passwords:
    """Hashes and compares passwords without ever holding up the event loop.

    A hash takes 64 MiB and about 0.2 s, so there are two threads and a short queue: beyond it `hash` and `verify`
    raise Unavailable at once.
    """

    def __init__(self, cost: Cost = Cost()) -> None:
        self._hasher = Argon2Hasher(time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=cost.lanes)
        self._nobody = _hash_of_nothing(cost)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="password")
        self._places = BoundedSemaphore(QUEUE_MAX)

    async def hash(self, text: str) -> str:
        """Hash a password for storing."""
        return await self._in_thread(lambda: self._hasher.hash(_bytes(text)))

    async def verify(self, text: str, hash: str | None) -> bool:  # noqa: A002 -- the word for it
        """Compare a password with a stored hash. Without one it does the same work and says no."""
        if len(_bytes(text)) > BYTES_MAX:
            text, hash = "", None  # noqa: A001 -- nobody has such a password, and the work stays the same
        return await self._in_thread(lambda: self._hasher.verify(_bytes(text), hash or self._nobody))

    def is_outdated(self, hash: str) -> bool:  # noqa: A002 -- the word for it
        """Whether the hash was made at another cost than today's."""
        return self._hasher.check_needs_rehash(hash)

    async def _in_thread(self, work: Callable[[], Answer]) -> Answer:
        if not self._places.acquire(blocking=False):
            raise Unavailable(
                say("Too many people are signing in at this moment. Try again in a few seconds."), retry_after_s=3
            )
        try:
            future = self._threads.submit(work)
        except BaseException:
            self._places.release()
            raise
        # The place is free when the work is over, not when the person has stopped waiting for it.
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)


def _bytes(text: str) -> bytes:
    # One password typed on two keyboards may come as different code points.
    return unicodedata.normalize("NFKC", text).encode("utf-8", "surrogatepass")


def _hash_of_nothing(cost: Cost) -> str:
    # A well-formed hash that no password has: comparing with it costs exactly as much as with a real one.
    salt, digest = (base64.b64encode(os.urandom(size)).decode().rstrip("=") for size in (16, 32))
    return f"$argon2id$v=19$m={cost.memory_kib},t={cost.passes},p={cost.lanes}${salt}${digest}"
