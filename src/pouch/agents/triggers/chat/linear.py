"""Linear: a comment on an issue that speaks to us starts a run, which is told of in a comment."""

import time
from collections.abc import Mapping

from pydantic import BaseModel, Field, JsonValue, ValidationError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pouch.agents.triggers import inbox
from pouch.agents.triggers.chat.workspaces import Workspaces, is_signed
from pouch.agents.triggers.github.app import read
from pouch.agents.triggers.mentions import mentions
from pouch.agents.triggers.texts import Quoted, task_of
from pouch.agents.triggers.types import Event, Found, House, Ignored, RefusedThere, Told
from pouch.agents.triggers.wire import Wire
from pouch.base.database import Connection, Database
from pouch.base.errors import NotFound
from pouch.web.bodies import read_raw

PATH = "/webhooks/linear"
BODY_BYTES_MAX = 1024 * 1024
AGE_MS_MAX = 60_000
_LOOK = """
query($id: String!) {
  comment(id: $id) {
    body
    user { email name active guest app isMe }
    issue { id identifier title description }
  }
}
"""
_SAY = "mutation($input: CommentCreateInput!) { commentCreate(input: $input) { comment { id } } }"
_CHANGE = (
    "mutation($id: String!, $input: CommentUpdateInput!) { commentUpdate(id: $id, input: $input) { comment { id } } }"
)


class _Comment(BaseModel):
    id: str = Field(max_length=100)
    body: str = ""
    userId: str | None = None  # noqa: N815 -- as Linear writes it
    botActor: object = None  # noqa: N815 -- as Linear writes it


class _Delivery(BaseModel):
    action: str = ""
    type: str = ""
    organizationId: str = Field(default="", max_length=100)  # noqa: N815 -- as Linear writes it
    webhookTimestamp: int = 0  # noqa: N815 -- as Linear writes it
    data: _Comment | None = None


class _Typed(BaseModel):
    type: str = ""


class _User(BaseModel):
    email: str = ""
    name: str = ""
    active: bool = False
    guest: bool = False
    app: bool = False
    isMe: bool = False  # noqa: N815 -- as Linear writes it


class _Issue(BaseModel):
    id: str
    identifier: str = ""
    title: str = ""
    description: str | None = None


class _Looked(BaseModel):
    body: str = ""
    user: _User | None = None
    issue: _Issue | None = None


class _Made(BaseModel):
    id: str


class _Change(BaseModel):
    comment: _Made


class _Data(BaseModel):
    comment: _Looked | None = None
    commentCreate: _Change | None = None  # noqa: N815 -- as Linear writes it
    commentUpdate: _Change | None = None  # noqa: N815 -- as Linear writes it


class _Answer(BaseModel):
    data: _Data | None = None
    errors: list[JsonValue] = []


class LinearWebhook:
    """Takes what Linear delivers."""

    def __init__(self, database: Database, *, secret: str, name: str) -> None:
        self._database = database
        self._secret = secret
        self._name = name

    def routes(self) -> list[Route]:
        """The one route. The signature is the permission."""
        return [Route(PATH, self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        """200 for what is Linear's; 400 and no row for a bad signature or an old delivery."""
        if not self._secret:
            raise NotFound("There is nothing here.")
        body = await read_raw(request, BODY_BYTES_MAX)
        if body is None:
            return PlainTextResponse("This is too long.", 413)
        if not is_signed(body, request.headers.get("linear-signature", ""), self._secret):
            return PlainTextResponse("This is not signed by Linear.", 400)
        delivery = _read(body)
        number = request.headers.get("linear-delivery", "")
        if delivery is None or delivery.data is None or not 0 < len(number) <= 100 or not number.isprintable():
            return PlainTextResponse("Nothing is done about this.")
        if abs(time.time() * 1000 - delivery.webhookTimestamp) > AGE_MS_MAX:
            return PlainTextResponse("This is too old.", 400)
        said = delivery.data
        is_person = said.userId is not None and said.botActor is None
        if delivery.action != "create" or not is_person or not mentions(said.body, self._name):
            return PlainTextResponse("Nothing is done about this.")
        async with self._database.transaction() as db:
            facts = {"happening": "message", "comment": said.id}
            await inbox.receive(db, "linear", number, delivery.organizationId, facts)
        return PlainTextResponse("Stored.")


class LinearEnd:
    """Linear as a place outside."""

    def __init__(self, database: Database, workspaces: Workspaces, api_base: str, *, name: str) -> None:
        self._database = database
        self._workspaces = workspaces
        self._wire = Wire(api_base)
        self._name = name

    async def house(self, _db: Connection, house: str) -> House | None:
        """Whose a workspace is."""
        return self._workspaces.house(house)

    async def look(self, house: House, event: Event) -> Found | Ignored:
        """Read the comment, its issue, and who wrote it."""
        comment = event.facts["comment"]
        found = (await self._ask(house, _LOOK, {"id": comment})).comment
        if found is None or found.issue is None or not mentions(found.body, self._name):
            return Ignored("It does not speak to us any more.")
        user, issue = found.user, found.issue
        if user is None or not user.active or user.guest or user.app or user.isMe:
            return Ignored("Whoever wrote it may not start runs.")
        async with self._database.transaction() as db:
            person_id = await self._workspaces.member(db, house, user.email)
        if person_id is None:
            return Ignored("Whoever wrote it is no member of the organization here.")
        quoted = [Quoted("The description", "somebody", issue.description)] if issue.description else []
        task = task_of(f"{issue.identifier} {issue.title}", found.body, user.name, quoted)
        return Found(f"{house.id}:{comment}", person_id, task, {"issue": issue.id})

    async def tell(self, house: House, told: Told) -> str:
        """Write a comment, or change the one that was written."""
        if told.message:
            await self._ask(house, _CHANGE, {"id": told.message, "input": {"body": told.text}})
            return told.message
        made = await self._ask(house, _SAY, {"input": {"issueId": told.place["issue"], "body": told.text}})
        if made.commentCreate is None:
            raise RefusedThere("Linear made no comment.")
        return made.commentCreate.comment.id

    async def close(self) -> None:
        """Give the connections back."""
        await self._wire.close()

    async def _ask(self, house: House, query: str, variables: Mapping[str, JsonValue]) -> _Data:
        token = self._workspaces.token(house.id)
        headers = {"authorization": token if token.startswith("lin_api_") else f"Bearer {token}"}
        asked: JsonValue = {"query": query, "variables": dict(variables)}
        answer = read(_Answer, await self._wire.send("POST", "/graphql", headers, asked))
        if answer.errors or answer.data is None:
            raise RefusedThere("Linear refused it.")
        return answer.data


def _read(body: bytes) -> _Delivery | None:
    """A delivery about a comment."""
    try:
        if _Typed.model_validate_json(body).type != "Comment":
            return None
        return _Delivery.model_validate_json(body)
    except ValidationError:
        return None
