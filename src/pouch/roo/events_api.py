"""POST /api/events and /api/events/backfill: what editors tell of their tasks, kept while the history is on."""

from collections.abc import Sequence

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from pouch.base.database import Database
from pouch.base.errors import InvalidInput, NotAllowed
from pouch.identity.throttles import Throttle, Throttles
from pouch.identity.token_ring import TokenRing
from pouch.roo.bearer import CLOUD_API, holder
from pouch.roo.bodies import TooMuch, parse, read_json, read_object
from pouch.roo.cloud_api import answer
from pouch.roo.limits import MESSAGES_MAX
from pouch.roo.reported import Message, read_about, read_event, read_message
from pouch.roo.settings import organization_settings, records_tasks
from pouch.roo.tasks import complete, count_completion, keep_messages, task_of

BACKFILL_PATH = "/api/events/backfill"
EVENT_BYTES_MAX = 8 * 1024 * 1024
"""A message may carry pictures, which are not kept."""
BACKFILL_BYTES_MAX = 24 * 1024 * 1024
EVENTS_PER_PERSON = Throttle("events-person", 1200, 60)
BACKFILLS_PER_PERSON = Throttle("backfills-person", 30, 60)


class EventsApi:
    """Both endpoints. A repeated event changes nothing."""

    def __init__(self, database: Database, ring: TokenRing, throttles: Throttles) -> None:
        self._database = database
        self._ring = ring
        self._throttles = throttles

    def routes(self) -> list[BaseRoute]:
        """The routes."""
        return [
            Route("/api/events", self.take, methods=["POST"]),
            Route(BACKFILL_PATH, self.backfill, methods=["POST"]),
        ]

    async def take(self, request: Request) -> Response:
        """Take one event. What belongs to no task, or comes while the history is off, is read and forgotten."""
        who = await holder(request, self._ring, CLOUD_API)
        with self._throttles.attempt((EVENTS_PER_PERSON, str(who.person_id))) as attempt:
            attempt.count()
            event = read_event(await read_json(request, bytes_max=EVENT_BYTES_MAX))
            if event.about is None:
                return answer({"success": True})
            async with self._database.transaction() as db:
                whose = who.person_id, who.organization_id
                if not await records_tasks(db, *whose, is_personal=who.is_personal):
                    return answer({"success": True})
                task_id = await task_of(db, *whose, event.about)
                if task_id is not None and event.message is not None:
                    await keep_messages(db, task_id, [event.message])
                if task_id is not None and event.completion is not None:
                    await count_completion(db, task_id, event.completion)
                if task_id is not None and event.type == "Task Completed":
                    await complete(db, task_id)
        return answer({"success": True})

    async def backfill(self, request: Request) -> Response:
        """Take all messages of a task, which the person wants to share: also while the history is off."""
        who = await holder(request, self._ring, CLOUD_API)
        with self._throttles.attempt((BACKFILLS_PER_PERSON, str(who.person_id))) as attempt:
            attempt.count()
            task_id, properties, file = await _parts(request)
            about = read_about({**properties, "taskId": task_id})
            assert about is not None
            messages = _messages(file)
            async with self._database.transaction() as db:
                whose = who.person_id, who.organization_id
                settings = await organization_settings(db, who.organization_id, is_personal=who.is_personal)
                is_on = await records_tasks(db, *whose, is_personal=who.is_personal)
                if not is_on and not settings.shares_tasks:
                    raise NotAllowed("Task history and sharing are switched off.")
                kept = await task_of(db, *whose, about, revives=True)
                assert kept is not None
                await keep_messages(db, kept, messages)
        return answer({"success": True, "messages": len(messages)})


async def _parts(request: Request) -> tuple[str, dict[str, object], bytes]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise InvalidInput("This address takes multipart/form-data.")
    try:
        async with request.form(max_files=1, max_fields=5, max_part_size=256 * 1024) as form:
            task_id, properties, file = form.get("taskId"), form.get("properties"), form.get("file")
            if not isinstance(task_id, str) or not isinstance(properties, str):
                raise InvalidInput("taskId and properties must be there.", field="taskId")
            if not isinstance(file, UploadFile):
                raise InvalidInput("The messages must come as a file.", field="file")
            return task_id, dict(read_object(properties, "properties")), await file.read(BACKFILL_BYTES_MAX)
    except MultiPartException as error:
        raise InvalidInput(f"The form could not be read: {error.message[:100]}") from None
    except UnicodeDecodeError:
        raise InvalidInput("The form could not be read.") from None


def _messages(file: bytes) -> Sequence[Message]:
    document = parse(file, "The file of messages")
    if not isinstance(document, list):
        raise InvalidInput("The messages must be a list.", field="file")
    if len(document) > MESSAGES_MAX:
        raise TooMuch(f"A task has at most {MESSAGES_MAX:,} messages.")
    return [read_message(each) for each in document]
