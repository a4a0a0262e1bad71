"""Disputes: respond, close; and for tests, open one and warn of one."""

from pouch.embedded.cards import disputes, store
from pouch.embedded.cards.endpoints.call import Call
from pouch.embedded.cards.errors import not_there
from pouch.embedded.cards.idempotency import Answer
from pouch.embedded.cards.types import Charge, Dispute

REASONS = ("fraudulent", "product_not_received", "duplicate", "credit_not_processed", "general")


async def update(call: Call) -> Answer:
    """POST /v1/disputes/{id}: evidence, sent to the bank when `submit` is true, as it is unless said otherwise."""
    dispute = await _lock(call)
    evidence = call.form.group("evidence").text("uncategorized_text", length_max=20_000)
    submits = call.form.one_of("submit", "true", "false") != "false"
    metadata = call.form.metadata(dispute.metadata)
    return await call.reply(await disputes.respond(call.desk, dispute, evidence, metadata, submits=submits))


async def close(call: Call) -> Answer:
    """POST /v1/disputes/{id}/close: give up, which is to lose."""
    dispute = await _lock(call)
    verdict: disputes.Verdict = "closed" if dispute.status.startswith("warning_") else "lost"
    return await call.reply(await disputes.decide(call.desk, dispute, verdict))


async def open_one(call: Call) -> Answer:
    """POST /v1/test_helpers/disputes, which Stripe has not: somebody objects to a charge."""
    charge = await _lock_charge(call)
    made = await disputes.open_dispute(
        call.desk,
        charge,
        reason=call.form.one_of("reason", *REASONS) or "fraudulent",
        cents=call.form.whole("amount"),
        is_inquiry=call.form.flag("inquiry"),
    )
    return await call.reply(made)


async def warn_once(call: Call) -> Answer:
    """POST /v1/test_helpers/early_fraud_warnings, which Stripe has not."""
    return await call.reply(await disputes.warn(call.desk, await _lock_charge(call)))


async def _lock_charge(call: Call) -> Charge:
    charge_id = call.form.needed("charge")
    charge = await store.lock(call.db, Charge, charge_id)
    if charge is None:
        raise not_there("charge", charge_id, param="charge")
    return charge


async def _lock(call: Call) -> Dispute:
    found = await store.find(call.db, Dispute, call.id)
    await store.lock(call.db, Charge, found.charge_id if found else None)
    dispute = await store.lock(call.db, Dispute, call.id)
    if dispute is None:
        raise not_there("dispute", call.id)
    return dispute
