"""Slack: a message that speaks to our app starts a run, which is told of in the message's thread."""

import html
import re
import time
from collections.abc import Mapping

from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pouch.agents.triggers import inbox
from pouch.agents.triggers.chat.workspaces import Workspaces, is_signed
from pouch.agents.triggers.github.app import read
from pouch.agents.triggers.texts import Quoted, task_of
from pouch.agents.triggers.types import Event, Found, House, Ignored, RefusedThere, Silent, Told
from pouch.agents.triggers.wire import Wire
from pouch.base.database import Connection, Database
from pouch.base.errors import NotFound
from pouch.web.bodies import read_raw

PATH = "/webhooks/slack"
BODY_BYTES_MAX = 1024 * 1024
AGE_S_MAX = 300
THREAD_READ = 50
_WAIT = frozenset({"ratelimited", "internal_error", "service_unavailable", "fatal_error", "request_timeout"})
_MENTION = re.compile(r"<@[A-Z0-9]+(?:\|[^>]*)?>")
_LINK = re.compile(r"\[([^\]]*)\]\((https?://[^)\s]+)\)")


class _Said(BaseModel):
    type: str = ""
    subtype: str | None = None
    bot_id: str | None = None
    user: str | None = None
    channel: str = Field(default="", max_length=100)
    ts: str = Field(default="", max_length=50)
    thread_ts: str | None = Field(default=None, max_length=50)
    text: str = ""


class _Envelope(BaseModel):
    type: str = ""
    challenge: str = Field(default="", max_length=1000)
    team_id: str = ""
    event_id: str = Field(default="", max_length=100)
    event: _Said | None = None


class _Profile(BaseModel):
    email: str = ""


class _User(BaseModel):
    is_bot: bool = False
    deleted: bool = False
    is_restricted: bool = False
    name: str = ""
    profile: _Profile = _Profile()


class _Answer(BaseModel):
    ok: bool = False
    error: str = ""
    ts: str = ""
    messages: list[_Said] = []
    user: _User | None = None


class SlackWebhook:
    """Takes what Slack delivers. It is answered at once, and acted on afterwards."""

    def __init__(self, database: Database, *, secret: str) -> None:
        self._database = database
        self._secret = secret

    def routes(self) -> list[Route]:
        """The one route. The signature is the permission."""
        return [Route(PATH, self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        """200 for what is Slack's; 400 and no row for a bad or old signature."""
        if not self._secret:
            raise NotFound("There is nothing here.")
        body = await read_raw(request, BODY_BYTES_MAX)
        moment = request.headers.get("x-slack-request-timestamp", "")
        if body is None:
            return PlainTextResponse("This is too long.", 413)
        signature = request.headers.get("x-slack-signature", "").removeprefix("v0=")
        is_recent = moment.isascii() and moment.isdigit() and abs(time.time() - int(moment[:15])) <= AGE_S_MAX
        if not is_recent or not is_signed(b"v0:" + moment.encode() + b":" + body, signature, self._secret):
            return PlainTextResponse("This is not signed by Slack, or too old.", 400)
        try:
            envelope = _Envelope.model_validate_json(body)
        except ValidationError:
            return PlainTextResponse("Nothing is done about this.")
        if envelope.type == "url_verification":
            return PlainTextResponse(envelope.challenge)
        said = envelope.event
        if envelope.type != "event_callback" or said is None or not envelope.event_id or not _is_asked(said):
            return PlainTextResponse("Nothing is done about this.")
        facts = {"happening": "message", "channel": said.channel, "ts": said.ts, "thread": said.thread_ts or said.ts}
        async with self._database.transaction() as db:
            await inbox.receive(db, "slack", envelope.event_id, envelope.team_id, facts | {"user": said.user or ""})
        return PlainTextResponse("Stored.")


class SlackEnd:
    """Slack as a place outside."""

    def __init__(self, database: Database, workspaces: Workspaces, api_base: str) -> None:
        self._database = database
        self._workspaces = workspaces
        self._wire = Wire(api_base)

    async def house(self, _db: Connection, house: str) -> House | None:
        """Whose a workspace is."""
        return self._workspaces.house(house)

    async def look(self, house: House, event: Event) -> Found | Ignored:
        """Read the message and its thread, and who wrote it."""
        facts = event.facts
        thread = {"channel": facts["channel"], "ts": facts["thread"], "limit": str(THREAD_READ)}
        talk = (await self._ask(house, "conversations.replies", thread)).messages
        said = next((each for each in talk if each.ts == facts["ts"]), None)
        if said is None or said.user != facts["user"] or said.bot_id is not None or said.subtype is not None:
            return Ignored("The message is not there any more.")
        user = (await self._ask(house, "users.info", {"user": said.user})).user
        if user is None or user.is_bot or user.deleted or user.is_restricted:
            return Ignored("Whoever wrote it may not start runs.")
        async with self._database.transaction() as db:
            person_id = await self._workspaces.member(db, house, user.profile.email)
        if person_id is None:
            return Ignored("Whoever wrote it is no member of the organization here.")
        wish = html.unescape(_MENTION.sub("", said.text)).strip()
        if not wish:
            return Ignored("It asks for nothing.")
        quoted = [
            Quoted("A message", each.user or "a program", html.unescape(each.text)) for each in talk if each is not said
        ]
        place = {"channel": facts["channel"], "thread": facts["thread"]}
        task = task_of(wish.splitlines()[0], wish, f"@{user.name}", quoted)
        return Found(f"{house.id}:{facts['channel']}:{facts['ts']}", person_id, task, place)

    async def tell(self, house: House, told: Told) -> str:
        """Answer in the thread, or change the answer."""
        form = {"channel": told.place["channel"], "text": slack_text(told.text), "unfurl_links": "false"}
        if told.message:
            await self._ask(house, "chat.update", form | {"ts": told.message})
            return told.message
        return (await self._ask(house, "chat.postMessage", form | {"thread_ts": told.place["thread"]})).ts

    async def close(self) -> None:
        """Give the connections back."""
        await self._wire.close()

    async def _ask(self, house: House, method: str, form: Mapping[str, str]) -> _Answer:
        headers = {"authorization": f"Bearer {self._workspaces.token(house.id)}"}
        answer = read(_Answer, await self._wire.send("POST", f"/{method}", headers, form=form))
        if answer.error in _WAIT:
            raise Silent(f"Slack answered {answer.error}.")
        if not answer.ok:
            raise RefusedThere(f"Slack answered {answer.error[:100]} to {method}.")
        return answer


def slack_text(text: str) -> str:
    """Markdown as Slack reads it; what an agent wrote can ring for nobody."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("**", "*")
    return _LINK.sub(r"<\2|\1>", text)


def _is_asked(said: _Said) -> bool:
    is_person = said.user is not None and said.bot_id is None and said.subtype is None
    return said.type == "app_mention" and is_person and bool(said.channel and said.ts)
