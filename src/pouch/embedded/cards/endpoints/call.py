"""One request to the API, as its endpoint sees it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from pouch.base.database import Connection
from pouch.embedded.cards import store
from pouch.embedded.cards.errors import Refusal, not_there
from pouch.embedded.cards.form import Form
from pouch.embedded.cards.idempotency import Answer
from pouch.embedded.cards.place import Desk
from pouch.embedded.cards.shapes import show, show_line_items
from pouch.embedded.cards.types import (
    Charge,
    Customer,
    Dispute,
    Event,
    FraudWarning,
    Intent,
    Json,
    Method,
    Movement,
    Refund,
    Row,
    Session,
    Setup,
)

EXPAND_DEPTH_MAX = 4

KINDS: dict[str, type[Row]] = {
    "cus": Customer,
    "pm": Method,
    "pi": Intent,
    "seti": Setup,
    "ch": Charge,
    "cs": Session,
    "evt": Event,
    "re": Refund,
    "dp": Dispute,
    "issfr": FraudWarning,
    "txn": Movement,
}


@dataclass(frozen=True, slots=True)
class Call:
    """Where it happens, and what was sent."""

    desk: Desk
    form: Form
    url: str
    id: str

    @property
    def db(self) -> Connection:
        """The transaction it runs in."""
        return self.desk.db

    async def reply(self, body: Row | Json, status: int = 200) -> Answer:
        """Answer with an object, references expanded as asked. Raises Refusal for parameters that nobody read."""
        shown = show(body) if isinstance(body, Row) else body
        for path in self.form.texts("expand"):
            await _expand(self.db, shown, path, path.split("."))
        self.form.end()
        return Answer.of(shown, status)


Endpoint: TypeAlias = Callable[[Call], Awaitable[Answer]]


async def find_named(call: Call, kind: type[Row], key: str) -> str | None:
    """The id in a parameter, once it is known to exist. Raises Refusal when it names nothing."""
    row_id = call.form.text(key)
    if row_id is not None and await store.find(call.db, kind, row_id) is None:
        raise not_there(kind.__name__.lower(), row_id, param=call.form.name(key))
    return row_id


async def _expand(db: Connection, body: Json, path: str, keys: list[str]) -> None:
    if not keys:
        return
    if len(keys) > EXPAND_DEPTH_MAX:
        raise Refusal(f"You cannot expand more than {EXPAND_DEPTH_MAX} levels of a property ({path}).", param="expand")
    key, rest = keys[0], keys[1:]
    if body.get("object") == "checkout.session" and key == "line_items":
        session = await store.find(db, Session, str(body["id"]))
        assert session is not None
        body[key] = show_line_items(session)
    if key not in body or isinstance(body[key], int | bool):
        raise Refusal(f"This property cannot be expanded ({path}).", param="expand")
    if isinstance(reference := body[key], str):
        kind = KINDS.get(reference.partition("_")[0])
        row = await store.find(db, kind, reference) if kind else None
        if row is None:
            raise Refusal(f"This property cannot be expanded ({path}).", param="expand")
        body[key] = show(row)
    for below in _objects(body[key]):
        await _expand(db, below, path, rest)


def _objects(value: object) -> list[Json]:
    if isinstance(value, dict):
        return [value]
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
