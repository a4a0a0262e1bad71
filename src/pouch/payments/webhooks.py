"""`POST /webhooks/stripe`: verified over the raw bytes, stored, answered, and only then acted on."""

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pouch.base.database import Database
from pouch.payments import events
from pouch.payments.errors import NotSigned
from pouch.payments.events import Inbox
from pouch.payments.processor import Processor
from pouch.web.bodies import read_raw

PATH = "/webhooks/stripe"
BODY_BYTES_MAX = 256 * 1024


class Webhooks:
    """The card processor's way to tell us something.

    An event is acted on right after the answer, in this process, so that credits appear within a second even while no
    worker runs. The bell that was rung in the storing transaction is what makes it certain: should this process die, a
    worker does it. Both claim the event first, so it is done once.
    """

    def __init__(self, database: Database, processor: Processor, inbox: Inbox) -> None:
        self._database = database
        self._processor = processor
        self._inbox = inbox

    def routes(self) -> list[Route]:
        """The one route. It carries no cookie and needs no CSRF check: the signature is the permission."""
        return [Route(PATH, self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        """200 for everything that is stored, also for what is stored already. 400 and no row for a bad signature.

        Whatever keeps us from storing it becomes a 5xx, so that it is sent again.
        """
        body = await read_raw(request, BODY_BYTES_MAX)
        if body is None:
            return PlainTextResponse("This is too long for an event.", 413)
        try:
            event = await self._processor.read_event(body, request.headers.get("stripe-signature", ""))
        except NotSigned as error:
            return PlainTextResponse(error.message, 400)
        async with self._database.transaction() as db:
            event_id = await events.receive(db, event, self._processor.mode)
        task = BackgroundTask(self._inbox.process, event_id) if event_id is not None else None
        return PlainTextResponse("Stored.", background=task)
