"""Payment methods: update, attach, detach, and those of a customer."""

from pouch.embedded.cards import setups, store
from pouch.embedded.cards.cards import BY_NAME, named_method
from pouch.embedded.cards.endpoints.call import Call, find_named
from pouch.embedded.cards.endpoints.reading import reply_list
from pouch.embedded.cards.errors import Refusal, not_there
from pouch.embedded.cards.events import tell
from pouch.embedded.cards.idempotency import Answer
from pouch.embedded.cards.shapes import show_method
from pouch.embedded.cards.types import Customer, Json, Method


async def named(call: Call, key: str = "payment_method") -> str | None:
    """The id in a parameter; names such as pm_card_visa make a new one. Raises Refusal when it names nothing."""
    text = call.form.text(key)
    fresh = named_method(text or "", now=call.desk.now, secret=call.desk.place.secret_key)
    if fresh is not None:
        return (await store.add(call.db, fresh)).id
    if text is not None and await store.find(call.db, Method, text) is None:
        raise not_there("payment_method", text, param=call.form.name(key))
    return text


async def update(call: Call) -> Answer:
    """POST /v1/payment_methods/{id}: its metadata and its expiry."""
    method = await _lock(call, call.id)
    card = call.form.group("card")
    changes: dict[str, object] = {"metadata": call.form.metadata(method.metadata)}
    for name in ("exp_month", "exp_year"):
        if (value := card.whole(name)) is not None:
            changes[name] = value
    method = await store.change(call.db, method, **changes)
    await tell(call.desk, "payment_method.updated", method)
    return await call.reply(method)


async def attach(call: Call) -> Answer:
    """POST /v1/payment_methods/{id}/attach."""
    fresh = named_method(call.id, now=call.desk.now, secret=call.desk.place.secret_key)
    method = await store.add(call.db, fresh) if fresh is not None else await _lock(call, call.id)
    customer_id = await find_named(call, Customer, "customer")
    if customer_id is None:
        raise Refusal("Missing required param: customer.", code="parameter_missing", param="customer")
    if method.is_spent or method.customer_id not in {None, customer_id}:
        raise Refusal(
            "The payment method you provided has already been attached to a customer, or was detached from one.",
            code="payment_method_unexpected_state",
        )
    decline = BY_NAME[method.card_name].declined
    if decline is not None:
        error: Json = {
            "type": "card_error",
            "code": decline.code,
            "decline_code": decline.decline_code,
            "message": decline.message,
            "payment_method": show_method(method),
        }
        return await call.reply({"error": error}, status=402)
    return await call.reply(await setups.attach(call.desk, method, customer_id, is_set_up=False))


async def detach(call: Call) -> Answer:
    """POST /v1/payment_methods/{id}/detach."""
    method = await _lock(call, call.id)
    if method.customer_id is None:
        raise Refusal(
            "The payment method you provided is not attached to a customer so detachment is impossible.",
            code="payment_method_unexpected_state",
        )
    await call.db.execute(
        "UPDATE cards_customers SET default_method_id = NULL WHERE id = %s AND default_method_id = %s",
        (method.customer_id, method.id),
    )
    method = await store.change(call.db, method, customer_id=None, is_spent=True)
    await tell(call.desk, "payment_method.detached", method)
    return await call.reply(method)


async def list_of_customer(call: Call) -> Answer:
    """GET /v1/customers/{id}/payment_methods."""
    if await store.find(call.db, Customer, call.id) is None:
        raise not_there("customer", call.id)
    where: dict[str, object] = {"customer_id = %s": call.id}
    if (type_ := call.form.text("type")) is not None:
        where["type = %s"] = type_
    return await reply_list(call, Method, where)


async def _lock(call: Call, method_id: str) -> Method:
    method = await store.lock(call.db, Method, method_id)
    if method is None:
        raise not_there("payment_method", method_id)
    return method
