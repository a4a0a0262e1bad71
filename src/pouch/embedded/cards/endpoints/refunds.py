"""Refunds: create, update; and for tests, let one come back."""

from pouch.embedded.cards import refunds, store
from pouch.embedded.cards.endpoints.call import Call
from pouch.embedded.cards.errors import Refusal, not_there
from pouch.embedded.cards.idempotency import Answer
from pouch.embedded.cards.types import Charge, Intent, Refund


async def create(call: Call) -> Answer:
    """POST /v1/refunds: of a charge, or of the charge that paid an intent."""
    form = call.form
    charge_id, intent_id = form.text("charge"), form.text("payment_intent")
    if (charge_id is None) == (intent_id is None):
        raise Refusal("One of these parameters is needed: charge, payment_intent.", code="parameter_missing")
    if intent_id is not None:
        intent = await store.find(call.db, Intent, intent_id)
        if intent is None:
            raise not_there("payment_intent", intent_id, param="payment_intent")
        charge_id = intent.latest_charge_id
    charge = await store.lock(call.db, Charge, charge_id)
    if charge is None:
        raise not_there("charge", charge_id or "", param="charge")
    reason = form.one_of("reason", "duplicate", "fraudulent", "requested_by_customer")
    made = await refunds.refund(call.desk, charge, form.whole("amount"), reason, form.metadata())
    return await call.reply(made)


async def update(call: Call) -> Answer:
    """POST /v1/refunds/{id}: only its metadata can change."""
    row = await store.lock(call.db, Refund, call.id)
    if row is None:
        raise not_there("refund", call.id)
    return await call.reply(await store.change(call.db, row, metadata=call.form.metadata(row.metadata)))


async def fail(call: Call) -> Answer:
    """POST /v1/test_helpers/refunds/{id}/fail, which Stripe has not: the money comes back."""
    row = await store.find(call.db, Refund, call.id)
    charge = await store.lock(call.db, Charge, row.charge_id if row else None)
    row = await store.lock(call.db, Refund, call.id)
    if row is None or charge is None:
        raise not_there("refund", call.id)
    if row.status not in {"pending", "succeeded"}:
        raise Refusal(f"This refund is {row.status} already.")
    return await call.reply(await refunds.fail_refund(call.desk, charge, row))
