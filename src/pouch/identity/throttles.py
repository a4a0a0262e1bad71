"""How often somebody may try: a moving window per address and per client, in this process's memory.

Several `serve` processes count each for itself. The `limits` library's memory storage is not used here: it starts a
thread for each count, keeps any number of keys, and reads the machine's clock itself.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from math import ceil

from pouch.base.errors import TooManyRequests
from pouch.base.languages import say

BUCKETS_MAX = 50_000
"""How many addresses and clients are remembered; beyond that the one that was quiet longest is forgotten."""


@dataclass(frozen=True, slots=True)
class Throttle:
    """At most `count_max` within any `window_s` seconds."""

    name: str
    count_max: int
    window_s: int


SIGN_IN_PER_ADDRESS = Throttle("sign-in-address", 20, 15 * 60)
"""Wrong passwords for one e-mail address, from wherever they come."""
SIGN_IN_PER_CLIENT = Throttle("sign-in-client", 50, 15 * 60)
"""Wrong passwords from one client, for whatever address."""
SIGN_UP_PER_CLIENT = Throttle("sign-up-client", 30, 60 * 60)
"""Sign-ups from one client, done or refused."""
MAIL_PER_MAILBOX = Throttle("mail-mailbox", 5, 60 * 60)
"""Mails that strangers can cause to one mailbox, for whatever reason, sent or only asked for."""
MAIL_PER_CLIENT = Throttle("mail-client", 20, 60 * 60)
"""Mails that one client asks for."""
LINK_PER_CLIENT = Throttle("link-client", 50, 15 * 60)
"""Links from mails that were not or no longer good, from one client."""


class Attempt:
    """Something somebody tries. It is counted while it runs, and stays counted when `count` was called."""

    def __init__(self) -> None:
        self.is_counted = False

    def count(self) -> None:
        """Keep it in the windows: it failed, or it counts either way."""
        self.is_counted = True


class Throttles:
    """Counts attempts. Times are those of the clock that is passed in, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, buckets_max: int = BUCKETS_MAX) -> None:
        self._clock = clock
        self._buckets_max = buckets_max
        self._buckets: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    @contextmanager
    def attempt(self, *limits: tuple[Throttle, str]) -> Iterator[Attempt]:
        """Let one attempt through, or raise TooManyRequests when any window is full.

        It takes its place before anything is awaited, so a thousand attempts at once are not let through together.
        """
        now = self._clock()
        wait_s = max(self._wait_s(throttle, who, now) for throttle, who in limits)
        if wait_s > 0:
            raise TooManyRequests(_wait_sentence(wait_s), retry_after_s=ceil(wait_s))
        for throttle, who in limits:
            self._bucket(throttle, who).append(now)
        attempt = Attempt()
        try:
            yield attempt
        finally:
            if not attempt.is_counted:
                self._take_back(limits, now)

    def _wait_s(self, throttle: Throttle, who: str, now: float) -> float:
        tries = self._buckets.get((throttle.name, who))
        while tries and tries[0] <= now - throttle.window_s:
            tries.popleft()
        return tries[0] + throttle.window_s - now if tries and len(tries) >= throttle.count_max else 0.0

    def _bucket(self, throttle: Throttle, who: str) -> deque[float]:
        key = (throttle.name, who)
        tries = self._buckets.setdefault(key, deque())
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._buckets_max:
            self._buckets.popitem(last=False)
        return tries

    def _take_back(self, limits: tuple[tuple[Throttle, str], ...], at: float) -> None:
        for throttle, who in limits:
            tries = self._buckets.get((throttle.name, who))
            if tries and at in tries:
                tries.remove(at)
            if not tries:
                self._buckets.pop((throttle.name, who), None)


def client_network(address: str) -> str:
    """Who a client address stands for: itself, or its /64 for IPv6, where one household has billions of addresses."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"


def _wait_sentence(wait_s: float) -> str:
    minutes = ceil(wait_s / 60)
    if minutes == 1:
        return say("Too many attempts. Try again in a minute.")
    return say("Too many attempts. Try again in %(minutes)s minutes.", minutes=minutes)
