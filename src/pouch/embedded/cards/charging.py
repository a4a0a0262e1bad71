"""Trying to move the money of a payment: the one place where a test card's fate is decided."""

from dataclasses import dataclass, field
from typing import Literal

from pouch.embedded.cards import store
from pouch.embedded.cards.cards import (
    AUTHENTICATION_FAILED,
    AUTHENTICATION_REQUIRED,
    BY_NAME,
    DEBIT_FAILED,
    DECLINES,
    Decline,
)
from pouch.embedded.cards.events import tell
from pouch.embedded.cards.movements import move
from pouch.embedded.cards.place import Desk
from pouch.embedded.cards.shapes import method_details, show_method
from pouch.embedded.cards.types import Charge, Intent, Json, Metadata, Method, new_id

DECLINED_URL = "https://stripe.com/docs/error-codes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be paid, by whom and what for."""

    amount_cents: int
    customer_id: str | None
    method_id: str | None = None
    setup_future_usage: str | None = None
    description: str | None = None
    receipt_email: str | None = None
    metadata: Metadata = field(default_factory=dict)


async def open_intent(desk: Desk, order: Order) -> Intent:
    """Begin a payment that nobody has tried to pay yet."""
    intent_id = new_id("pi")
    intent = Intent(
        id=intent_id,
        created_at=desk.now,
        client_secret=new_id(f"{intent_id}_secret"),
        amount_cents=order.amount_cents,
        status="requires_confirmation" if order.method_id else "requires_payment_method",
        customer_id=order.customer_id,
        method_id=order.method_id,
        latest_charge_id=None,
        setup_future_usage=order.setup_future_usage,
        description=order.description,
        receipt_email=order.receipt_email,
        last_error=None,
        settle_at=None,
        canceled_at=None,
        cancellation_reason=None,
        metadata=order.metadata,
    )
    await store.add(desk.db, intent)
    await tell(desk, "payment_intent.created", intent)
    return intent


async def attempt(desk: Desk, intent: Intent, method: Method, *, off_session: bool = False) -> Intent:
    """Try to pay a locked, unpaid intent. Its new status says how it went; a decline is written in its `last_error`."""
    card = BY_NAME[method.card_name]
    if off_session and desk.faults.declines:
        return await _decline(desk, intent, method, DECLINES[desk.faults.declines.pop(0)])
    asks = card.authentication == "always" or (card.authentication == "unless_set_up" and not method.is_set_up)
    if asks and off_session:
        return await _decline(desk, intent, method, AUTHENTICATION_REQUIRED)
    if asks:
        intent = await store.change(desk.db, intent, status="requires_action", method_id=method.id, last_error=None)
        await tell(desk, "payment_intent.requires_action", intent)
        return intent
    return await _charge(desk, intent, method, off_session=off_session)


async def authenticate(desk: Desk, intent: Intent, *, passed: bool) -> Intent:
    """Take the buyer's answer to the bank's question. Does nothing when the bank did not ask."""
    method = await store.find(desk.db, Method, intent.method_id)
    if intent.status != "requires_action" or method is None:
        return intent
    if not passed:
        return await _fail(desk, intent, AUTHENTICATION_FAILED, method)
    return await _charge(desk, intent, method, off_session=False)


async def settle(desk: Desk, intent: Intent) -> Intent:
    """End a locked intent under way as its bank decides."""
    method = await store.lock(desk.db, Method, intent.method_id)
    charge = await store.lock(desk.db, Charge, intent.latest_charge_id)
    assert method is not None
    assert charge is not None
    if BY_NAME[method.card_name].settles == "fails_later":
        failure = {"failure_code": DEBIT_FAILED.code, "failure_message": DEBIT_FAILED.message}
        charge = await store.change(desk.db, charge, status="failed", **failure)
        await tell(desk, "charge.failed", charge)
        return await _fail(desk, intent, DEBIT_FAILED, method, charge)
    charge = await store.change(desk.db, charge, status="succeeded")
    return await _succeed(desk, intent, charge)


async def take_back(desk: Desk, charge: Charge) -> Intent:
    """Let a bank not pay after all what was paid already: a locked charge fails, and its money goes."""
    intent = await store.lock(desk.db, Intent, charge.intent_id)
    method = await store.find(desk.db, Method, charge.method_id)
    assert intent is not None
    assert method is not None
    failure = {"failure_code": DEBIT_FAILED.code, "failure_message": DEBIT_FAILED.message}
    charge = await store.change(desk.db, charge, status="failed", **failure)
    await move(desk, "charge_failure", charge.id, -charge.amount_cents)
    await tell(desk, "charge.failed", charge)
    return await _fail(desk, intent, DEBIT_FAILED, method, charge)


async def cancel(desk: Desk, intent: Intent, reason: str | None) -> Intent:
    """Close an unpaid intent for good."""
    intent = await store.change(desk.db, intent, status="canceled", canceled_at=desk.now, cancellation_reason=reason)
    await tell(desk, "payment_intent.canceled", intent)
    return intent


async def _charge(desk: Desk, intent: Intent, method: Method, *, off_session: bool) -> Intent:
    card = BY_NAME[method.card_name]
    decline = card.declined or (card.declined_off_session if off_session else None)
    if decline is not None:
        return await _decline(desk, intent, method, decline)
    method = await _save_method(desk, intent, method)
    intent = await store.change(desk.db, intent, method_id=method.id, last_error=None)
    if card.settles == "at_once":
        charge = await _add_charge(desk, intent, method, status="succeeded")
        return await _succeed(desk, intent, charge)
    charge = await _add_charge(desk, intent, method, status="pending")
    await tell(desk, "charge.pending", charge)
    intent = await store.change(
        desk.db, intent, status="processing", latest_charge_id=charge.id, settle_at=desk.now + desk.place.settle_after
    )
    await tell(desk, "payment_intent.processing", intent)
    return intent


async def _save_method(desk: Desk, intent: Intent, method: Method) -> Method:
    if intent.setup_future_usage is None or intent.customer_id is None or method.customer_id is not None:
        return method
    method = await store.change(
        desk.db, method, customer_id=intent.customer_id, is_set_up=intent.setup_future_usage == "off_session"
    )
    await tell(desk, "payment_method.attached", method)
    return method


async def _add_charge(
    desk: Desk,
    intent: Intent,
    method: Method,
    *,
    status: Literal["pending", "succeeded", "failed"],
    decline: Decline | None = None,
) -> Charge:
    charge_id = new_id("ch")
    return await store.add(
        desk.db,
        Charge(
            id=charge_id,
            created_at=desk.now,
            intent_id=intent.id,
            customer_id=intent.customer_id,
            method_id=method.id,
            method_details=method_details(method),
            amount_cents=intent.amount_cents,
            amount_refunded_cents=0,
            status=status,
            failure_code=decline.code if decline else None,
            failure_message=decline.message if decline else None,
            decline_code=decline.decline_code if decline else None,
            advice_code=decline.advice_code if decline else None,
            email=intent.receipt_email or method.email,
            description=intent.description,
            receipt_url=f"{desk.place.pages_url}/receipts/{charge_id}",
            metadata=intent.metadata,
        ),
    )


async def _succeed(desk: Desk, intent: Intent, charge: Charge) -> Intent:
    method = await store.find(desk.db, Method, charge.method_id)
    assert method is not None
    has_trouble = BY_NAME[method.card_name].trouble is not None
    charge = await store.change(
        desk.db,
        charge,
        movement_id=(await move(desk, "charge", charge.id, charge.amount_cents)).id,
        trouble_at=desk.now + desk.place.settle_after if has_trouble else None,
    )
    await tell(desk, "charge.succeeded", charge)
    intent = await store.change(desk.db, intent, status="succeeded", latest_charge_id=charge.id, settle_at=None)
    await tell(desk, "payment_intent.succeeded", intent)
    return intent


async def _decline(desk: Desk, intent: Intent, method: Method, decline: Decline) -> Intent:
    charge = await _add_charge(desk, intent, method, status="failed", decline=decline)
    await tell(desk, "charge.failed", charge)
    return await _fail(desk, intent, decline, method, charge)


async def _fail(desk: Desk, intent: Intent, decline: Decline, method: Method, charge: Charge | None = None) -> Intent:
    # The intent waits for another card; which one failed is remembered in the error, as at Stripe.
    intent = await store.change(
        desk.db,
        intent,
        status="requires_payment_method",
        method_id=None,
        settle_at=None,
        latest_charge_id=charge.id if charge else intent.latest_charge_id,
        last_error=error_of(decline, method, charge),
    )
    await tell(desk, "payment_intent.payment_failed", intent)
    return intent


def error_of(decline: Decline, method: Method, charge: Charge | None = None) -> Json:
    """A decline as Stripe writes it into the payment, or the setup, that it belongs to."""
    error: Json = {
        "type": "card_error" if method.type == "card" else "invalid_request_error",
        "code": decline.code,
        "doc_url": f"{DECLINED_URL}/{decline.code.replace('_', '-')}",
        "message": decline.message,
        "payment_method": show_method(method),
    }
    if decline.decline_code is not None:
        error["decline_code"] = decline.decline_code
    if decline.advice_code is not None:
        error["advice_code"] = decline.advice_code
    if charge is not None:
        error["charge"] = charge.id
    return error
