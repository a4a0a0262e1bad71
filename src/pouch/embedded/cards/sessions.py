"""A visit to the hosted page: opened by the API, paid by a person, or run out of time."""

from datetime import datetime

from pouch.base.errors import Conflict, InvalidInput
from pouch.embedded.cards import charging, setups, store
from pouch.embedded.cards.cards import TypedCard
from pouch.embedded.cards.events import tell
from pouch.embedded.cards.place import Desk
from pouch.embedded.cards.types import Customer, Intent, Session, Setup, new_id


def is_over(session: Session, now: datetime) -> bool:
    """Whether nothing can be paid here any more, although it was not paid."""
    return session.status == "expired" or (session.status == "open" and session.expires_at <= now)


async def pay(desk: Desk, session: Session, typed: TypedCard) -> Session:
    """Pay a locked session with a card.

    A session that is complete already stays as it is, so a second click changes nothing. After a decline, and while the
    bank asks, it stays open; its intent says which. Raises Conflict when its time is over, and InvalidInput when this
    session does not take that kind of card.
    """
    if session.status == "complete":
        return session
    if is_over(session, desk.now):
        raise Conflict("This payment page has expired. No money moved.")
    if typed.card.type not in session.method_types:
        raise InvalidInput("This payment takes cards only.", field="number")
    if session.mode == "setup":
        return await _save(desk, session, typed)
    if session.customer_id is None and session.makes_customer:
        session = await _make_customer(desk, session)
    intent = await store.lock(desk.db, Intent, session.intent_id)
    if intent is None:
        intent = await _open_intent(desk, session)
        session = await store.change(desk.db, session, intent_id=intent.id)
    method = await store.add(desk.db, typed.method(now=desk.now, secret=desk.place.secret_key, email=session.email))
    return await _follow(desk, session, await charging.attempt(desk, intent, method))


async def authenticate(desk: Desk, session: Session, *, passed: bool) -> Session:
    """Take the buyer's answer to the bank for a locked session. Repeats change nothing.

    Raises Conflict when its time is over.
    """
    if session.status == "complete":
        return session
    if is_over(session, desk.now):
        raise Conflict("This payment page has expired. No money moved.")
    if session.mode == "setup":
        setup = await store.lock(desk.db, Setup, session.setup_id)
        assert setup is not None
        return await _complete_setup(desk, session, await setups.authenticate(desk, setup, passed=passed))
    intent = await store.lock(desk.db, Intent, session.intent_id)
    if intent is None:
        return session
    return await _follow(desk, session, await charging.authenticate(desk, intent, passed=passed))


async def settle(desk: Desk, intent_id: str) -> None:
    """Let the bank answer for a payment under way, and the session it was made for follow."""
    session = await store.lock(desk.db, Session, await store.session_of(desk.db, intent_id))
    intent = await store.lock(desk.db, Intent, intent_id)
    if intent is None or intent.status != "processing":
        return
    intent = await charging.settle(desk, intent)
    if session is None:
        return
    if intent.status == "succeeded":
        session = await store.change(desk.db, session, payment_status="paid")
        await tell(desk, "checkout.session.async_payment_succeeded", session)
    else:
        await tell(desk, "checkout.session.async_payment_failed", session)


async def expire(desk: Desk, session: Session) -> Session:
    """Close a locked, open session; its unpaid intent is canceled with it."""
    intent = await store.lock(desk.db, Intent, session.intent_id)
    if intent is not None:
        await charging.cancel(desk, intent, None)
    setup = await store.lock(desk.db, Setup, session.setup_id)
    if setup is not None and setup.status not in {"succeeded", "canceled"}:
        await setups.cancel(desk, setup, None)
    session = await store.change(desk.db, session, status="expired")
    await tell(desk, "checkout.session.expired", session)
    return session


async def _save(desk: Desk, session: Session, typed: TypedCard) -> Session:
    setup = await store.lock(desk.db, Setup, session.setup_id)
    assert setup is not None
    method = await store.add(desk.db, typed.method(now=desk.now, secret=desk.place.secret_key, email=session.email))
    return await _complete_setup(desk, session, await setups.attempt(desk, setup, method))


async def _complete_setup(desk: Desk, session: Session, setup: Setup) -> Session:
    if setup.status != "succeeded":
        return session
    session = await store.change(desk.db, session, status="complete")
    await tell(desk, "checkout.session.completed", session)
    return session


async def _follow(desk: Desk, session: Session, intent: Intent) -> Session:
    """Complete the session when its money has moved or is on its way."""
    if intent.status not in {"succeeded", "processing"}:
        return session
    payment_status = "paid" if intent.status == "succeeded" else "unpaid"
    session = await store.change(desk.db, session, status="complete", payment_status=payment_status)
    await tell(desk, "checkout.session.completed", session)
    return session


async def _make_customer(desk: Desk, session: Session) -> Session:
    customer = await store.add(
        desk.db,
        Customer(
            id=new_id("cus", 14),
            created_at=desk.now,
            email=session.email,
            name=None,
            description=None,
            default_method_id=None,
            metadata={},
        ),
    )
    await tell(desk, "customer.created", customer)
    return await store.change(desk.db, session, customer_id=customer.id)


async def _open_intent(desk: Desk, session: Session) -> Intent:
    order = charging.Order(
        amount_cents=session.amount_cents,
        customer_id=session.customer_id,
        setup_future_usage=session.setup_future_usage,
        description=session.intent_description,
        receipt_email=session.receipt_email,
        metadata=session.intent_metadata,
    )
    return await charging.open_intent(desk, order)
