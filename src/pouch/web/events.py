"""The event stream: one per browser, which tells open pages what has changed about an organization.

What is sent is state, not a log: each event says how something is now, so a missed one is made good by the next, and a
new stream begins with everything. One loop in each process asks about all watched organizations at once. A stream is
told nothing from a look that began before it: the page it belongs to was drawn later and knows better.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import PoolTimeout
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from pouch.base.errors import TooManyRequests
from pouch.base.ids import show_id
from pouch.web.pages import Web
from pouch.web.viewer import Viewer

PATH = "/events"
LOOK_EVERY_S = 1.0
BEAT_EVERY_S = 15.0
"""How often a quiet stream shows proxies that it lives, and asks whether its session still does."""
RETRY_MS = 3_000
PER_SESSION_MAX = 3
PER_ORGANIZATION_MAX = 50

State = Mapping[str, str]
"""The name of each event and how things are, in one line of text."""
Look = Callable[[Sequence[UUID]], Awaitable[Mapping[UUID, State]]]

log = structlog.get_logger(__name__)

_MEDIA_TYPE = "text/event-stream"
_HEADERS = {
    "cache-control": "no-store, no-transform",
    "x-accel-buffering": "no",  # else nginx keeps events until its buffer is full
}


@dataclass(eq=False, slots=True)
class _Listener:
    """One open stream. It holds no queue: only what it was told last, and whether there is news."""

    opener_id: UUID
    """The session or key that opened it."""
    organization_id: UUID
    is_still_allowed: Callable[[], Awaitable[bool]]
    told: dict[str, str] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    is_new: bool = True
    """Whether no look has begun since it came."""


class Streams:
    """GET /events?of=org_… for a signed-in person. `look` says how things are with organizations, of one moment.

    `of` is the organization that the page was drawn for: a browser in which somebody else has signed in meanwhile gets
    no stream for its old pages.
    """

    def __init__(
        self, web: Web, look: Look, *, look_every_s: float = LOOK_EVERY_S, beat_every_s: float = BEAT_EVERY_S
    ) -> None:
        self._web = web
        self._look = look
        self._look_every_s = look_every_s
        self._beat_every_s = beat_every_s
        self._listeners: set[_Listener] = set()
        self._states: dict[UUID, State] = {}
        self._somebody = asyncio.Event()
        self._is_stopping = False
        web.templates.globals["events_url"] = events_url

    def routes(self) -> list[Route]:
        """Where the stream is."""
        return [Route(PATH, self.listen)]

    @property
    def size(self) -> int:
        """How many streams are open."""
        return len(self._listeners)

    async def listen(self, request: Request) -> Response:
        """Open a stream. Raises TooManyRequests when the session or the organization has enough of them."""
        viewer = await self._web.viewer(request)
        # No page and no way to sign in: what asks here is a script, which only needs to know that it may stop.
        if viewer is None or request.query_params.get("of") != show_id("org", viewer.organization_id):
            return Response(status_code=401)

        async def is_still_allowed() -> bool:
            found = await self._web.find_viewer(request)
            return found is not None and (found.session_id, found.organization_id) == (
                viewer.session_id,
                viewer.organization_id,
            )

        return self.open(request, viewer.session_id, viewer.organization_id, is_still_allowed)

    def open(
        self, request: Request, opener_id: UUID, organization_id: UUID, is_still_allowed: Callable[[], Awaitable[bool]]
    ) -> Response:
        """Open a stream for somebody who may have it, for as long as `is_still_allowed`, which each beat asks.

        Raises TooManyRequests when the opener or the organization has enough of them.
        """
        if request.method == "HEAD":
            return Response(headers=_HEADERS, media_type=_MEDIA_TYPE)
        openers = Counter(listener.opener_id for listener in self._listeners)
        organizations = Counter(listener.organization_id for listener in self._listeners)
        if openers[opener_id] >= PER_SESSION_MAX or organizations[organization_id] >= PER_ORGANIZATION_MAX:
            raise TooManyRequests("There are enough streams for this already.", retry_after_s=60)
        listener = _Listener(opener_id, organization_id, is_still_allowed)
        self._listeners.add(listener)
        self._somebody.set()
        return _Stream(self._events(listener), lambda: self._forget(listener))

    async def run(self) -> None:
        """Watch the organizations that somebody listens to, until cancelled. Survives any outage of the database."""
        is_blind = False
        while True:
            await self._somebody.wait()
            try:
                await self.tick()
            except (psycopg.Error, PoolTimeout, OSError) as error:
                if not is_blind:
                    log.warning("events_blind", reason=type(error).__name__)
                is_blind = True
            else:
                is_blind = False
            await asyncio.sleep(self._look_every_s)

    async def tick(self) -> None:
        """Look once, and wake those who have news."""
        listeners = list(self._listeners)
        watched = {listener.organization_id for listener in listeners}
        if not watched:
            self._states.clear()
            self._somebody.clear()
            return
        states = await self._look(sorted(watched))
        changed = {each for each, state in states.items() if state != self._states.get(each)}
        self._states = dict(states)
        for listener in listeners:
            if listener.is_new or listener.organization_id in changed:
                listener.is_new = False
                listener.news.set()

    def stop(self) -> None:
        """End every stream at once and open no more: the process is going. Browsers come back to its successor."""
        self._is_stopping = True
        for listener in self._listeners:
            listener.news.set()

    async def _events(self, listener: _Listener) -> AsyncIterator[bytes]:
        clock = asyncio.get_running_loop().time
        beat_at = clock() + self._beat_every_s
        yield b"retry: %d\n\n" % RETRY_MS
        while not self._is_stopping:
            try:
                async with asyncio.timeout_at(beat_at):
                    await listener.news.wait()
            except TimeoutError:
                if not await self._is_still_allowed(listener):
                    return
                yield b":\n\n"
                beat_at = clock() + self._beat_every_s
                continue
            listener.news.clear()
            for name, text in self._states.get(listener.organization_id, {}).items():
                if listener.told.get(name) != text:
                    listener.told[name] = text
                    yield f"event: {name}\ndata: {text}\n\n".encode()

    async def _is_still_allowed(self, listener: _Listener) -> bool:
        try:
            return await listener.is_still_allowed()
        except (psycopg.Error, PoolTimeout, OSError):
            return True  # nobody can say now; the next beat asks again

    def _forget(self, listener: _Listener) -> None:
        self._listeners.discard(listener)


class _Stream(StreamingResponse):
    """A stream that says when it is over, however it ends, even if it never began."""

    def __init__(self, content: AsyncIterator[bytes], on_end: Callable[[], None]) -> None:
        super().__init__(content, headers=_HEADERS, media_type=_MEDIA_TYPE)
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()


def events_url(viewer: Viewer) -> str:
    """The stream of a page that was drawn for this viewer."""
    return f"{PATH}?of={show_id('org', viewer.organization_id)}"
