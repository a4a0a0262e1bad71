"""Retrieving one object, and listing many with Stripe's cursors."""

from collections.abc import Mapping
from datetime import UTC, datetime

from pouch.embedded.cards import store
from pouch.embedded.cards.endpoints.call import Call, Endpoint
from pouch.embedded.cards.errors import Refusal, not_there
from pouch.embedded.cards.idempotency import Answer
from pouch.embedded.cards.shapes import show, show_line_items, show_list
from pouch.embedded.cards.types import Row, Session

_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def retrieve(kind: type[Row], noun: str) -> Endpoint:
    """GET of one object."""

    async def endpoint(call: Call) -> Answer:
        row = await store.find(call.db, kind, call.id)
        if row is None:
            raise not_there(noun, call.id)
        return await call.reply(row)

    return endpoint


def list_of(kind: type[Row], filters: Mapping[str, str]) -> Endpoint:
    """GET of a list; `filters` maps parameters to SQL conditions with one `%s`."""

    async def endpoint(call: Call) -> Answer:
        where: dict[str, object] = {}
        for name, condition in filters.items():
            if (value := call.form.text(name)) is not None:
                where[condition] = value
        return await reply_list(call, kind, where)

    return endpoint


async def list_events(call: Call, kind: type[Row]) -> Answer:
    """GET of events: by type, by several types, by whether their delivery has succeeded."""
    where: dict[str, object] = {}
    if (type_ := call.form.text("type")) is not None:
        where["type = %s"] = type_
    if types := call.form.texts("types"):
        where["type = ANY(%s)"] = types
    if (delivered := call.form.one_of("delivery_success", "true", "false")) is not None:
        condition = (
            "EXISTS (SELECT FROM cards_deliveries WHERE event_id = cards_events.id AND delivered_at IS NOT NULL) = %s"
        )
        where[condition] = delivered == "true"
    return await reply_list(call, kind, where)


async def line_items(call: Call) -> Answer:
    """GET of what a session sells."""
    call.form.skip("limit", "starting_after", "ending_before")
    session = await store.find(call.db, Session, call.id)
    if session is None:
        raise not_there("checkout.session", call.id)
    return await call.reply(show_line_items(session))


async def reply_list(call: Call, kind: type[Row], where: dict[str, object]) -> Answer:
    """Answer with one page, newest first. Raises Refusal for a cursor that is nowhere."""
    where |= _created(call)
    limit = call.form.whole("limit")
    limit = 10 if limit is None else limit
    if not 1 <= limit <= 100:
        raise Refusal("This value must be between 1 and 100.", code="parameter_invalid_integer", param="limit")
    after, before = call.form.text("starting_after"), call.form.text("ending_before")
    for cursor, name in ((after, "starting_after"), (before, "ending_before")):
        if cursor is not None and await store.find(call.db, kind, cursor) is None:
            raise not_there(kind.__name__.lower(), cursor, param=name)
    rows, has_more = await store.page(call.db, kind, where, store.Span(limit, after, before))
    return await call.reply(show_list(call.url, [show(row) for row in rows], has_more=has_more))


def _created(call: Call) -> dict[str, object]:
    group = call.form.group("created")
    moments = {sign: group.whole(word) for word, sign in _COMPARISONS.items()}
    return {
        f"created_at {sign} %s": datetime.fromtimestamp(moment, UTC)
        for sign, moment in moments.items()
        if moment is not None
    }
