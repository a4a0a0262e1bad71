"""Setup intents: create, confirm, cancel."""

from pouch.embedded.cards import setups, store
from pouch.embedded.cards.endpoints.call import Call, find_named
from pouch.embedded.cards.endpoints.methods import named
from pouch.embedded.cards.errors import Refusal, not_there
from pouch.embedded.cards.idempotency import Answer
from pouch.embedded.cards.shapes import show_setup
from pouch.embedded.cards.types import Customer, Json, Method, Setup


async def create(call: Call) -> Answer:
    """POST /v1/setup_intents."""
    form = call.form
    form.skip("payment_method_types", "automatic_payment_methods", "return_url", "mandate_data")
    wish = setups.Wish(
        customer_id=await find_named(call, Customer, "customer"),
        method_id=await named(call),
        usage=form.one_of("usage", "on_session", "off_session") or "off_session",
        description=form.text("description", length_max=1000),
        metadata=form.metadata(),
    )
    confirms = form.flag("confirm")
    setup = await setups.open_setup(call.desk, wish)
    return await _confirm(call, setup) if confirms else await call.reply(setup)


async def confirm(call: Call) -> Answer:
    """POST /v1/setup_intents/{id}/confirm."""
    call.form.skip("return_url", "mandate_data")
    setup = await _lock(call)
    if setup.status in {"succeeded", "canceled"}:
        raise _unexpected(setup, "confirm")
    if (method_id := await named(call)) is not None:
        setup = await store.change(call.db, setup, method_id=method_id)
    return await _confirm(call, setup)


async def cancel(call: Call) -> Answer:
    """POST /v1/setup_intents/{id}/cancel."""
    reason = call.form.one_of("cancellation_reason", "abandoned", "duplicate", "requested_by_customer")
    setup = await _lock(call)
    if setup.status in {"succeeded", "canceled"}:
        raise _unexpected(setup, "cancel")
    return await call.reply(await setups.cancel(call.desk, setup, reason))


async def _confirm(call: Call, setup: Setup) -> Answer:
    method = await store.lock(call.db, Method, setup.method_id)
    if method is None:
        raise Refusal(
            "You cannot confirm this SetupIntent because it's missing a payment method.",
            code="setup_intent_unexpected_state",
        )
    if method.customer_id not in {None, setup.customer_id} or method.is_spent:
        raise Refusal(f"The customer does not have a payment method with the ID {method.id}.", param="payment_method")
    setup = await setups.attempt(call.desk, setup, method)
    if setup.last_error is None:
        return await call.reply(setup)
    error: Json = {**setup.last_error, "setup_intent": show_setup(setup)}
    return await call.reply({"error": error}, status=402)


async def _lock(call: Call) -> Setup:
    setup = await store.lock(call.db, Setup, call.id)
    if setup is None:
        raise not_there("setup_intent", call.id, param="intent")
    return setup


def _unexpected(setup: Setup, verb: str) -> Refusal:
    return Refusal(
        f"You cannot {verb} this SetupIntent because it has a status of {setup.status}.",
        code="setup_intent_unexpected_state",
    )
