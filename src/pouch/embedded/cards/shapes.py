"""Rows as Stripe's JSON objects. Fields that this processor never fills are null or left out."""

from collections.abc import Sequence

from pouch.embedded.cards.shapes_afterwards import seconds, show_afterwards
from pouch.embedded.cards.types import (
    API_VERSION,
    CURRENCY,
    Charge,
    Customer,
    Event,
    Intent,
    Json,
    Method,
    Row,
    Session,
    Setup,
)


def show(row: Row) -> Json:  # noqa: PLR0911 -- one line for each kind of object
    """Any row as its Stripe object, with references as ids."""
    match row:
        case Customer():
            return show_customer(row)
        case Method():
            return show_method(row)
        case Intent():
            return show_intent(row)
        case Charge():
            return show_charge(row)
        case Session():
            return show_session(row)
        case Setup():
            return show_setup(row)
        case Event():
            return show_event(row)
        case _:
            return show_afterwards(row)


def show_list(url: str, rows: Sequence[Json], *, has_more: bool) -> Json:
    """One page of a list."""
    return {"object": "list", "url": url, "has_more": has_more, "data": list(rows)}


def show_customer(customer: Customer) -> Json:
    """A customer."""
    return {
        "id": customer.id,
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": seconds(customer.created_at),
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": customer.description,
        "discount": None,
        "email": customer.email,
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": customer.default_method_id,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": customer.metadata,
        "name": customer.name,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def show_method(method: Method) -> Json:
    """A payment method: brand, last four, expiry and fingerprint are all there is."""
    return {
        "id": method.id,
        "object": "payment_method",
        "allow_redisplay": "limited" if method.customer_id else "unspecified",
        "billing_details": _billing(method.email),
        "created": seconds(method.created_at),
        "customer": method.customer_id,
        "livemode": False,
        "metadata": method.metadata,
        "type": method.type,
        method.type: _method_facts(method),
    }


def method_details(method: Method) -> Json:
    """What a charge remembers of how it was paid, whatever happens to the method later."""
    return {"type": method.type, method.type: _method_facts(method)}


def _method_facts(method: Method) -> Json:
    if method.type == "us_bank_account":
        return {
            "account_holder_type": "individual",
            "account_type": "checking",
            "bank_name": method.brand,
            "fingerprint": method.fingerprint,
            "last4": method.last4,
            "routing_number": "110000000",
        }
    return {
        "brand": method.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "US",
        "display_brand": method.brand,
        "exp_month": method.exp_month,
        "exp_year": method.exp_year,
        "fingerprint": method.fingerprint,
        "funding": "credit",
        "last4": method.last4,
        "network": method.brand,
        "wallet": None,
    }


def _billing(email: str | None) -> Json:
    return {"address": None, "email": email, "name": None, "phone": None, "tax_id": None}


def show_intent(intent: Intent) -> Json:
    """A payment intent."""
    return {
        "id": intent.id,
        "object": "payment_intent",
        "amount": intent.amount_cents,
        "amount_capturable": 0,
        "amount_received": intent.amount_cents if intent.status == "succeeded" else 0,
        "automatic_payment_methods": None,
        "canceled_at": seconds(intent.canceled_at),
        "cancellation_reason": intent.cancellation_reason,
        "capture_method": "automatic",
        "client_secret": intent.client_secret,
        "confirmation_method": "automatic",
        "created": seconds(intent.created_at),
        "currency": CURRENCY,
        "customer": intent.customer_id,
        "description": intent.description,
        "last_payment_error": intent.last_error,
        "latest_charge": intent.latest_charge_id,
        "livemode": False,
        "metadata": intent.metadata,
        "next_action": {"type": "use_stripe_sdk"} if intent.status == "requires_action" else None,
        "payment_method": intent.method_id,
        "payment_method_types": ["card", "us_bank_account"],
        "processing": None,
        "receipt_email": intent.receipt_email,
        "setup_future_usage": intent.setup_future_usage,
        "shipping": None,
        "statement_descriptor": None,
        "status": intent.status,
    }


def show_setup(setup: Setup) -> Json:
    """A setup intent."""
    return {
        "id": setup.id,
        "object": "setup_intent",
        "application": None,
        "automatic_payment_methods": None,
        "cancellation_reason": setup.cancellation_reason,
        "client_secret": setup.client_secret,
        "created": seconds(setup.created_at),
        "customer": setup.customer_id,
        "description": setup.description,
        "last_setup_error": setup.last_error,
        "latest_attempt": None,
        "livemode": False,
        "mandate": None,
        "metadata": setup.metadata,
        "next_action": {"type": "use_stripe_sdk"} if setup.status == "requires_action" else None,
        "payment_method": setup.method_id,
        "payment_method_types": ["card"],
        "status": setup.status,
        "usage": setup.usage,
    }


def show_charge(charge: Charge) -> Json:
    """A charge. Its refunds and disputes are objects of their own; here are only their sum and the fact."""
    is_paid = charge.status == "succeeded"
    return {
        "id": charge.id,
        "object": "charge",
        "amount": charge.amount_cents,
        "amount_captured": charge.amount_cents if is_paid else 0,
        "amount_refunded": charge.amount_refunded_cents,
        "balance_transaction": charge.movement_id,
        "billing_details": _billing(charge.email),
        "captured": is_paid,
        "created": seconds(charge.created_at),
        "currency": CURRENCY,
        "customer": charge.customer_id,
        "description": charge.description,
        "disputed": charge.is_disputed,
        "failure_code": charge.failure_code,
        "failure_message": charge.failure_message,
        "livemode": False,
        "metadata": charge.metadata,
        "outcome": _outcome(charge),
        "paid": is_paid,
        "payment_intent": charge.intent_id,
        "payment_method": charge.method_id,
        "payment_method_details": charge.method_details,
        "receipt_email": charge.email,
        "receipt_number": None,
        "receipt_url": charge.receipt_url if is_paid else None,
        "refunded": charge.amount_refunded_cents == charge.amount_cents,
        "status": charge.status,
    }


def _outcome(charge: Charge) -> Json:
    failed = charge.status == "failed"
    return {
        "advice_code": charge.advice_code,
        "network_status": "declined_by_network" if failed else "approved_by_network",
        "reason": (charge.decline_code or charge.failure_code) if failed else None,
        "risk_level": "normal",
        "seller_message": charge.failure_message if failed else "Payment complete.",
        "type": "issuer_declined" if failed else "authorized",
    }


def show_session(session: Session) -> Json:
    """A checkout session, without its line items: those are only sent when asked for."""
    return {
        "id": session.id,
        "object": "checkout.session",
        "amount_subtotal": None if session.mode == "setup" else session.amount_cents - session.tax_cents,
        "amount_total": None if session.mode == "setup" else session.amount_cents,
        "automatic_tax": {
            "enabled": session.computes_tax,
            "liability": {"type": "self"} if session.computes_tax else None,
            "provider": "stripe" if session.computes_tax else None,
            "status": "complete" if session.computes_tax else None,
        },
        "cancel_url": session.cancel_url,
        "client_reference_id": session.client_reference_id,
        "client_secret": None,
        "created": seconds(session.created_at),
        "currency": CURRENCY,
        "custom_fields": [],
        "custom_text": {},
        "customer": session.customer_id,
        "customer_creation": "always" if session.makes_customer else "if_required",
        "customer_details": {"email": session.email, "name": None, "phone": None} if session.email else None,
        "customer_email": None if session.customer_id else session.email,
        "expires_at": seconds(session.expires_at),
        "invoice": None,
        "livemode": False,
        "locale": None,
        "metadata": session.metadata,
        "mode": session.mode,
        "payment_intent": session.intent_id,
        "payment_link": None,
        "payment_method_collection": "if_required",
        "payment_method_types": session.method_types,
        "payment_status": session.payment_status,
        "setup_intent": session.setup_id,
        "shipping_options": [],
        "status": session.status,
        "subscription": None,
        "success_url": session.success_url,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": session.tax_cents},
        "ui_mode": "hosted_page",
        "url": session.url if session.status == "open" else None,
    }


def show_line_items(session: Session) -> Json:
    """What the session sells."""
    url = f"/v1/checkout/sessions/{session.id}/line_items"
    return show_list(url, session.line_items, has_more=False)


def show_event(event: Event, *, pending_webhooks: int = 0) -> Json:
    """An event; its object is the one that was written with it, not the object as it is now."""
    return {
        "id": event.id,
        "object": "event",
        "api_version": API_VERSION,
        "created": seconds(event.created_at),
        "data": {"object": event.object},
        "livemode": False,
        "pending_webhooks": pending_webhooks,
        "request": {"id": None, "idempotency_key": None},
        "type": event.type,
    }
