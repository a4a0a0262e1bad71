"""GET /api/v1/billing/events: the same stream that pages listen to, for programs."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.base.errors import PouchError, Unavailable
from pouch.billing.callers import Callers
from pouch.web.events import Streams


class EventsApi:
    """Server-sent events: how the balance, purchases, ledger and calls are now, and again when they change."""

    def __init__(self, callers: Callers, streams: Streams) -> None:
        self._callers = callers
        self._streams = streams

    def routes(self) -> list[Route]:
        """Where it is."""
        return [Route("/api/v1/billing/events", self.listen)]

    async def listen(self, request: Request) -> Response:
        """Open a stream. It ends when the key is revoked or the session is over."""
        caller = await self._callers.reader(request)

        async def is_still_allowed() -> bool:
            # Each asks anew: what the request's state remembers is how things were when it came.
            try:
                return (await self._callers.reader(Request(dict(request.scope, state={})))).organization_id == (
                    caller.organization_id
                )
            except Unavailable:
                return True
            except PouchError:
                return False

        opener_id = caller.session_id or caller.person_id
        return self._streams.open(request, opener_id, caller.organization_id, is_still_allowed)
