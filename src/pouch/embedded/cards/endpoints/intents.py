"""Payment intents: create, confirm (a saved card, with or without its owner present), cancel."""

from pouch.embedded.cards import charging, store
from pouch.embedded.cards.endpoints.amounts import read_amount
from pouch.embedded.cards.endpoints.call import Call, find_named
from pouch.embedded.cards.endpoints.methods import named
from pouch.embedded.cards.errors import Refusal, not_there
from pouch.embedded.cards.idempotency import Answer
from pouch.embedded.cards.shapes import show_intent
from pouch.embedded.cards.types import Customer, Intent, Json, Method


async def create(call: Call) -> Answer:
    """POST /v1/payment_intents."""
    form = call.form
    form.skip("payment_method_types", "automatic_payment_methods", "return_url")
    customer_id = await find_named(call, Customer, "customer")
    method_id = await named(call)
    confirms, off_session = form.flag("confirm"), form.flag("off_session")
    if off_session and not confirms:
        raise Refusal("`off_session` can only be used with `confirm`.", param="off_session")
    order = charging.Order(
        amount_cents=read_amount(form, "amount", "currency"),
        customer_id=customer_id,
        method_id=method_id,
        setup_future_usage=form.one_of("setup_future_usage", "on_session", "off_session"),
        description=form.text("description", length_max=1000),
        receipt_email=form.text("receipt_email", length_max=512),
        metadata=form.metadata(),
    )
    intent = await charging.open_intent(call.desk, order)
    return await _confirm(call, intent, off_session=off_session) if confirms else await call.reply(intent)


async def confirm(call: Call) -> Answer:
    """POST /v1/payment_intents/{id}/confirm."""
    call.form.skip("return_url")
    intent = await _lock(call)
    if intent.status not in {"requires_payment_method", "requires_confirmation", "requires_action"}:
        raise _unexpected(intent, "confirm")
    if (method_id := await named(call)) is not None:
        intent = await store.change(call.db, intent, method_id=method_id)
    return await _confirm(call, intent, off_session=call.form.flag("off_session"))


async def cancel(call: Call) -> Answer:
    """POST /v1/payment_intents/{id}/cancel."""
    reason = call.form.one_of("cancellation_reason", "duplicate", "fraudulent", "requested_by_customer", "abandoned")
    intent = await _lock(call)
    if intent.status in {"succeeded", "processing", "canceled"}:
        raise _unexpected(intent, "cancel")
    return await call.reply(await charging.cancel(call.desk, intent, reason))


async def _confirm(call: Call, intent: Intent, *, off_session: bool) -> Answer:
    method = await store.find(call.db, Method, intent.method_id)
    if method is None:
        raise Refusal(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            code="payment_intent_unexpected_state",
        )
    # One that a name such as pm_card_visa has just made is nobody's yet, and may be used once.
    is_new = method.customer_id is None and method.created_at == call.desk.now
    if not is_new and (method.customer_id is None or method.customer_id != intent.customer_id):
        raise Refusal(f"The customer does not have a payment method with the ID {method.id}.", param="payment_method")
    intent = await charging.attempt(call.desk, intent, method, off_session=off_session)
    if intent.last_error is None:
        return await call.reply(intent)
    error: Json = {**intent.last_error, "payment_intent": show_intent(intent)}
    return await call.reply({"error": error}, status=402)


async def _lock(call: Call) -> Intent:
    # The session first, as everywhere: the hosted page may be at work on the same payment.
    if (session_id := await store.session_of(call.db, call.id)) is not None:
        raise Refusal(
            f"This PaymentIntent belongs to the Checkout Session {session_id} and changes only with it.",
            code="payment_intent_unexpected_state",
        )
    intent = await store.lock(call.db, Intent, call.id)
    if intent is None:
        raise not_there("payment_intent", call.id, param="intent")
    return intent


def _unexpected(intent: Intent, verb: str) -> Refusal:
    return Refusal(
        f"You cannot {verb} this PaymentIntent because it has a status of {intent.status}.",
        code="payment_intent_unexpected_state",
    )
