"""Saving a card without paying: what the bank says, and the card that is then its customer's."""

from dataclasses import dataclass, field

from pouch.embedded.cards import store
from pouch.embedded.cards.cards import AUTHENTICATION_FAILED, AUTHENTICATION_REQUIRED, BY_NAME, Decline
from pouch.embedded.cards.charging import error_of
from pouch.embedded.cards.events import tell
from pouch.embedded.cards.place import Desk
from pouch.embedded.cards.types import Metadata, Method, Setup, new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Whose card is to be saved, and what for."""

    customer_id: str | None
    method_id: str | None = None
    usage: str = "off_session"
    description: str | None = None
    metadata: Metadata = field(default_factory=dict)


async def open_setup(desk: Desk, wish: Wish) -> Setup:
    """Begin; nobody has named a card yet, or it is not tried."""
    setup_id = new_id("seti")
    setup = Setup(
        id=setup_id,
        created_at=desk.now,
        client_secret=new_id(f"{setup_id}_secret"),
        status="requires_confirmation" if wish.method_id else "requires_payment_method",
        customer_id=wish.customer_id,
        method_id=wish.method_id,
        usage=wish.usage,
        description=wish.description,
        last_error=None,
        canceled_at=None,
        cancellation_reason=None,
        metadata=wish.metadata,
    )
    await store.add(desk.db, setup)
    await tell(desk, "setup_intent.created", setup)
    return setup


async def attempt(desk: Desk, setup: Setup, method: Method, *, off_session: bool = False) -> Setup:
    """Ask the bank about a card for a locked, open setup. Its new status says how it went."""
    card = BY_NAME[method.card_name]
    if card.authentication != "never" and not method.is_set_up:
        if off_session:
            return await _fail(desk, setup, method, AUTHENTICATION_REQUIRED)
        setup = await store.change(desk.db, setup, status="requires_action", method_id=method.id, last_error=None)
        await tell(desk, "setup_intent.requires_action", setup)
        return setup
    return await _save(desk, setup, method)


async def authenticate(desk: Desk, setup: Setup, *, passed: bool) -> Setup:
    """Take the owner's answer to the bank's question. Does nothing when the bank did not ask."""
    method = await store.find(desk.db, Method, setup.method_id)
    if setup.status != "requires_action" or method is None:
        return setup
    return await (_save(desk, setup, method) if passed else _fail(desk, setup, method, AUTHENTICATION_FAILED))


async def cancel(desk: Desk, setup: Setup, reason: str | None) -> Setup:
    """Close an open setup for good."""
    setup = await store.change(desk.db, setup, status="canceled", canceled_at=desk.now, cancellation_reason=reason)
    await tell(desk, "setup_intent.canceled", setup)
    return setup


async def attach(desk: Desk, method: Method, customer_id: str, *, is_set_up: bool) -> Method:
    """Make a card its customer's. One that already is stays as it is."""
    is_new = method.customer_id is None
    method = await store.change(
        desk.db, method, customer_id=customer_id, is_set_up=is_set_up or method.is_set_up, is_spent=False
    )
    if is_new:
        await tell(desk, "payment_method.attached", method)
    return method


async def _save(desk: Desk, setup: Setup, method: Method) -> Setup:
    declined = BY_NAME[method.card_name].declined
    if declined is not None:
        return await _fail(desk, setup, method, declined)
    if setup.customer_id is not None:
        method = await attach(desk, method, setup.customer_id, is_set_up=setup.usage == "off_session")
    setup = await store.change(desk.db, setup, status="succeeded", method_id=method.id, last_error=None)
    await tell(desk, "setup_intent.succeeded", setup)
    return setup


async def _fail(desk: Desk, setup: Setup, method: Method, decline: Decline) -> Setup:
    setup = await store.change(
        desk.db, setup, status="requires_payment_method", method_id=None, last_error=error_of(decline, method)
    )
    await tell(desk, "setup_intent.setup_failed", setup)
    return setup
