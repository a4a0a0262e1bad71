"""Calls under way in this process: who watches for callers that leave, stall, or run on a lost lease."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

from pouch.gateway.answers import Message, Receive, Send
from pouch.gateway.patience import Patience

WATCH_AFTER_S = 0.05
"""A call that is over sooner is not watched for a caller who leaves: watching would cost more than the rest of it."""

Reason = Literal["client_gone", "stalled", "too_long", "fenced"]


@dataclass(eq=False, slots=True)
class Flight:
    """One call under way."""

    task: asyncio.Task[object]
    receive: Receive
    send_on: Send
    began_at: float
    patience: Patience
    reason: Reason | None = None
    """Why it was stopped."""
    is_visible: bool = True
    """Whether stopping at once loses no count of output; else the answer is read on for its usage."""
    is_begun: bool = False
    """The status line was sent."""
    is_answered: bool = False
    """The last of the answer is being sent, or the call is over."""
    sending_since: float | None = None
    watching: asyncio.TimerHandle | None = None
    watcher: "asyncio.Task[None] | None" = None
    _deadline: asyncio.TimerHandle | None = field(default=None)

    @property
    def is_gone(self) -> bool:
        """Whether nobody reads what is sent any more."""
        return self.reason is not None

    async def send(self, message: Message) -> None:
        """Send on to the caller, if there still is one."""
        if self.reason is None:
            self.sending_since = asyncio.get_running_loop().time()
            await self.send_on(message)
            self.sending_since = None

    def stop(self, reason: Reason) -> None:
        """Stop the call: at once, or after its usage was read where that is the only count.

        A call whose last words are on their way is only stopped when nobody takes them.
        """
        if self.reason is not None or (self.is_answered and reason != "stalled"):
            return
        self.reason = reason
        if self.is_visible or self.is_answered or reason in {"fenced", "too_long"}:
            self.task.cancel()
        else:
            self._deadline = asyncio.get_running_loop().call_later(self.patience.drain_s, self.task.cancel)

    def start_watching(self) -> None:
        """From now on notice when the caller leaves."""
        # Ended by `end`, in the same function that began the flight.
        self.watcher = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.stop("client_gone")

    def end(self) -> None:
        """The call is over."""
        self.is_answered = True
        if self.watching is not None:
            self.watching.cancel()
        if self.watcher is not None:
            self.watcher.cancel()
        if self._deadline is not None:
            self._deadline.cancel()


class Flights:
    """All calls under way."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._flights: set[Flight] = set()

    def __len__(self) -> int:
        return len(self._flights)

    @property
    def deserted(self) -> int:
        """How many run on though their caller is gone."""
        return sum(flight.is_gone for flight in self._flights)

    @property
    def under_way(self) -> Collection[Flight]:
        """Every call that has begun and not ended."""
        return self._flights

    def begin(self, receive: Receive, send: Send) -> Flight:
        """Watch over the current task until `end`."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        flight = Flight(task, receive, send, loop.time(), self._patience)
        flight.watching = loop.call_later(WATCH_AFTER_S, flight.start_watching)
        self._flights.add(flight)
        return flight

    def end(self, flight: Flight) -> None:
        """Forget a call that is over."""
        flight.end()
        self._flights.discard(flight)

    def stop_all(self, reason: Reason) -> None:
        """Stop every call: their holds are gone."""
        for flight in list(self._flights):
            flight.stop(reason)

    async def run(self) -> None:
        """Stop callers who do not read, and calls without end, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._patience.look_every_s)
            now = loop.time()
            for flight in list(self._flights):
                if flight.sending_since is not None and now - flight.sending_since > self._patience.stall_s:
                    flight.stop("stalled")
                elif now - flight.began_at > self._patience.call_s:
                    flight.stop("too_long")
