"""The card processor: what Pouch asks of Stripe's API, and nothing more.

Every request that makes something carries our key, the id of the row that causes it. So the SDK may repeat it, and so
may we: the processor does it once. A request without an answer is `ProcessorSilent`, which means unknown, never no.
"""

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeVar
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from pouch.base.ids import show_id
from pouch.base.money import Money
from pouch.payments.card_tests import TriedCard
from pouch.payments.errors import ProcessorSilent
from pouch.payments.objects import (
    ChargeObject,
    DisputeObject,
    EventObject,
    MoneyBack,
    MovementObject,
    RefundObject,
    WarningObject,
)
from pouch.payments.refunds import Refund
from pouch.payments.types import CURRENCY, Event, Method, Mode, Payment, Purchase, Session, Setup

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import stripe
    from stripe.params.checkout import SessionCreateParams as CreateSession
    from stripe.params.checkout import SessionCreateParamsLineItem as LineItem

    from pouch.payments.sdk import Sdk

TIMEOUT_S = 8.0
"""For one try of one request."""
LISTED = 100
"""The most that one list holds: no payment has so many refunds, and no customer so many open payment pages."""

T = TypeVar("T")
O = TypeVar("O", bound="stripe.StripeObject")  # noqa: E741 -- an object of theirs
_SESSION = TypeAdapter(Session)
_PAYMENT = TypeAdapter(Payment)
_METHOD = TypeAdapter(Method)
_SETUP = TypeAdapter(Setup)
PAYMENTS_LISTED = 100
_REFUND, _DISPUTE, _WARNING = TypeAdapter(RefundObject), TypeAdapter(DisputeObject), TypeAdapter(WarningObject)
_TRIED = TypeAdapter(TriedCard)
_CHARGE, _MOVEMENT, _HEARD = TypeAdapter(ChargeObject), TypeAdapter(MovementObject), TypeAdapter(EventObject)


class Processor:
    """Stripe, or a server that speaks its API, under one account."""

    def __init__(
        self,
        *,
        kind: Literal["stripe", "embedded"],
        secret_key: str,
        webhook_secret: str | None,
        api_base: str,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.mode: Mode = "embedded" if kind == "embedded" else "live" if "_live_" in secret_key[:8] else "test"
        self._secret_key = secret_key
        self._webhook_secret = webhook_secret
        self._api_base = api_base.rstrip("/")
        self._timeout_s = timeout_s
        self._loading = asyncio.Lock()
        self._sdk: Sdk | None = None

    async def open(self) -> None:
        """Load the SDK, off the event loop. Without this the first request does it."""
        await self._loaded()

    async def close(self) -> None:
        """Give the connections back."""
        if self._sdk is not None:
            await self._sdk.close()

    async def create_customer(self, *, organization_id: UUID, email: str, key: str) -> str:
        """Make the organization's customer and return its id; the same key makes it once."""
        customer = await self._ask(
            lambda client: client.v1.customers.create_async(
                {"email": email, "metadata": {"organization": show_id("org", organization_id)}},
                {"idempotency_key": key},
            )
        )
        return customer.id

    async def find_customer(self, customer: str) -> None:
        """See that the processor knows a customer. Raises NoSuchObject when it does not."""
        await self._ask(lambda client: client.v1.customers.retrieve_async(customer))

    async def create_session(  # noqa: PLR0913 -- what differs between two purchases, by name
        self, purchase: Purchase, *, customer: str, product: str, page: str, collects_tax_id: bool, key: str
    ) -> Session:
        """Make the purchase's payment page; the same key makes it once. Paid or not, it leads back to `page`.

        Credits, fee and the operator's own tax are lines of their own on it; the tax that Stripe works out is Stripe's.

        Raises KeyReused when anything but the key differs.
        """
        metadata = {"purchase": purchase.shown_id, "organization": show_id("org", purchase.organization_id)}
        payment: stripe.params.checkout.SessionCreateParamsPaymentIntentData = {"metadata": metadata}
        if purchase.saves_card:
            payment["setup_future_usage"] = "off_session"
        wanted: CreateSession = {
            "mode": "payment",
            "customer": customer,
            "client_reference_id": purchase.shown_id,
            "metadata": metadata,
            "payment_intent_data": payment,
            "line_items": lines_of(purchase, product),
            "success_url": f"{page}?from=checkout",
            "cancel_url": page,
            "expires_at": int(purchase.session_expires_at.timestamp()),
        }
        if purchase.tax_mode == "automatic":
            wanted["automatic_tax"] = {"enabled": True}
        if collects_tax_id:
            wanted["tax_id_collection"] = {"enabled": True}
        if purchase.tax_mode == "automatic" or collects_tax_id:
            # What the buyer types there is kept with the customer, as Stripe demands for both.
            wanted["customer_update"] = {"address": "auto", "name": "auto"}
        session = await self._ask(
            lambda client: client.v1.checkout.sessions.create_async(wanted, {"idempotency_key": key})
        )
        return _read(_SESSION, session)

    async def find_session(self, session_id: str) -> Session:
        """A session as it is now, with its payment, charge and card. Raises NoSuchObject."""
        found = await self._ask(
            lambda client: client.v1.checkout.sessions.retrieve_async(
                session_id, {"expand": ["payment_intent.latest_charge", "setup_intent"]}
            )
        )
        return _read(_SESSION, found)

    async def find_session_of(self, payment_id: str) -> Session | None:
        """The session that a payment was made through. None when it was made some other way."""
        found = await self._ask(
            lambda client: client.v1.checkout.sessions.list_async({"payment_intent": payment_id, "limit": 1})
        )
        return await self.find_session(found.data[0].id) if found.data else None

    async def look_up_session(self, *, customer: str, reference: str) -> Session | None:
        """The session that was made for a purchase, if one was: the newest 100 of its customer are searched."""
        found = await self._ask(
            lambda client: client.v1.checkout.sessions.list_async({"customer": customer, "limit": LISTED})
        )
        sessions = [_read(_SESSION, session) for session in found.data]
        return next((session for session in sessions if session.client_reference_id == reference), None)

    async def create_setup_session(  # noqa: PLR0913 -- what the page is for, by name
        self, *, setup_id: UUID, organization_id: UUID, customer: str, page: str, back: str, expires_at: int, key: str
    ) -> Session:
        """Make a page on which a card is saved and nothing is paid; the same key makes it once."""
        shown = show_id("set", setup_id)
        metadata = {"setup": shown, "organization": show_id("org", organization_id)}
        session = await self._ask(
            lambda client: client.v1.checkout.sessions.create_async(
                {
                    "mode": "setup",
                    "currency": "usd",
                    "customer": customer,
                    "client_reference_id": shown,
                    "metadata": metadata,
                    "setup_intent_data": {"metadata": metadata},
                    "success_url": f"{page}?from=checkout",
                    "cancel_url": back,
                    "expires_at": expires_at,
                },
                {"idempotency_key": key},
            )
        )
        return _read(_SESSION, session)

    async def charge_saved_card(self, purchase: Purchase, *, customer: str, description: str, key: str) -> str:
        """Charge the purchase's saved card while its owner is away: the payment's id. The same key charges once.

        Raises CardDeclined, with the payment, when the bank says no; ProcessorRefused when it was not even asked.
        """
        assert purchase.method_id is not None
        method = purchase.method_id
        metadata = {
            "purchase": purchase.shown_id,
            "organization": show_id("org", purchase.organization_id),
            "attempt": show_id("top", purchase.id),
        }
        made = await self._ask(
            lambda client: client.v1.payment_intents.create_async(
                {
                    "amount": (purchase.total or purchase.before_tax).to_cents(),
                    "currency": "usd",
                    "customer": customer,
                    "payment_method": method,
                    "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                    "off_session": True,
                    "confirm": True,
                    "description": description,
                    "metadata": metadata,
                },
                {"idempotency_key": key},
            )
        )
        return made.id

    async def find_payment(self, payment_id: str) -> Payment:
        """A payment as it is now, with its charge. Raises NoSuchObject."""
        found = await self._ask(
            lambda client: client.v1.payment_intents.retrieve_async(payment_id, {"expand": ["latest_charge"]})
        )
        return _read(_PAYMENT, found)

    async def cancel_payment(self, payment_id: str, *, key: str) -> None:
        """Close an unpaid payment for good. Raises ProcessorRefused when it can no longer be closed."""
        await self._ask(
            lambda client: client.v1.payment_intents.cancel_async(
                payment_id, {"cancellation_reason": "abandoned"}, {"idempotency_key": key}
            )
        )

    async def look_up_payment(self, *, customer: str, purchase: str, since: int) -> Payment | None:
        """The payment that was made for a purchase, if one was: the customer's payments since then are searched."""
        after: str | None = None
        while True:
            params: stripe.params.PaymentIntentListParams = {
                "customer": customer,
                "created": {"gte": since},
                "limit": PAYMENTS_LISTED,
            }
            if after is not None:
                params["starting_after"] = after
            found = await self._ask(lambda client, params=params: client.v1.payment_intents.list_async(params))  # type: ignore[misc]  # a default keeps this page's parameters
            for each in found.data:
                if _read(_PAYMENT, each).metadata.get("purchase") == purchase:
                    return await self.find_payment(each.id)
            if not found.has_more or not found.data:
                return None
            after = found.data[-1].id

    async def find_method(self, method_id: str) -> Method:
        """A saved card as it is now. Raises NoSuchObject."""
        found = await self._ask(lambda client: client.v1.payment_methods.retrieve_async(method_id))
        return _read(_METHOD, found)

    async def find_setup(self, setup_id: str) -> Setup:
        """A card being saved, as it is now. Raises NoSuchObject."""
        return _read(_SETUP, await self._ask(lambda client: client.v1.setup_intents.retrieve_async(setup_id)))

    async def detach(self, method_id: str) -> None:
        """Take a card off its customer, so that it can never be charged again. Raises ProcessorRefused."""
        await self._ask(lambda client: client.v1.payment_methods.detach_async(method_id))

    async def create_refund(self, payment_id: str, refund: Refund, *, key: str) -> RefundObject:
        """Give so much of a payment back to its card; the same key does it once. Raises ProcessorRefused."""
        made = await self._ask(
            lambda client: client.v1.refunds.create_async(
                {
                    "payment_intent": payment_id,
                    "amount": refund.amount.to_cents(),
                    "reason": refund.reason,
                    "metadata": {"refund": refund.shown_id, "organization": show_id("org", refund.organization_id)},
                },
                {"idempotency_key": key},
            )
        )
        return _read(_REFUND, made)

    async def find_refund(self, refund_id: str) -> RefundObject:
        """A refund as it is now. Raises NoSuchObject."""
        return _read(_REFUND, await self._ask(lambda client: client.v1.refunds.retrieve_async(refund_id)))

    async def find_dispute(self, dispute_id: str) -> DisputeObject:
        """A dispute as it is now. Raises NoSuchObject."""
        return _read(_DISPUTE, await self._ask(lambda client: client.v1.disputes.retrieve_async(dispute_id)))

    async def find_warning(self, warning_id: str) -> WarningObject:
        """A fraud warning. Raises NoSuchObject."""
        found = await self._ask(lambda client: client.v1.radar.early_fraud_warnings.retrieve_async(warning_id))
        return _read(_WARNING, found)

    async def find_charge(self, charge_id: str) -> ChargeObject:
        """A charge, which leads to its payment. Raises NoSuchObject."""
        return _read(_CHARGE, await self._ask(lambda client: client.v1.charges.retrieve_async(charge_id)))

    async def money_back(self, payment_id: str) -> MoneyBack:
        """All refunds and disputes of a payment, oldest first."""
        refunds = await self._ask(
            lambda client: client.v1.refunds.list_async({"payment_intent": payment_id, "limit": LISTED})
        )
        disputes = await self._ask(
            lambda client: client.v1.disputes.list_async({"payment_intent": payment_id, "limit": LISTED})
        )
        return MoneyBack(
            refunds=tuple(_read(_REFUND, each) for each in reversed(refunds.data)),
            disputes=tuple(_read(_DISPUTE, each) for each in reversed(disputes.data)),
        )

    async def ping(self) -> None:
        """Ask for next to nothing. Raises ProcessorSilent when no answer comes."""
        await self._ask(lambda client: client.v1.customers.list_async({"limit": 1}))

    async def tried_cards(self, payment_id: str) -> list[TriedCard]:
        """Every try to charge a card for a payment, newest first."""
        found = await self._ask(
            lambda client: client.v1.charges.list_async({"payment_intent": payment_id, "limit": LISTED})
        )
        return [_read(_TRIED, each) for each in found.data]

    async def expire_session(self, session_id: str) -> None:
        """Close a payment page that is not paid. Raises ProcessorRefused when it is not open any more."""
        await self._ask(lambda client: client.v1.checkout.sessions.expire_async(session_id))

    async def payments_since(self, since: datetime) -> list[Payment]:
        """Every payment that was begun since then, newest first; of other shops on the same account, too."""
        return await self._list(
            lambda client: client.v1.payment_intents.list_async({"created": _since(since), "limit": LISTED}), _PAYMENT
        )

    async def refunds_since(self, since: datetime) -> list[RefundObject]:
        """Every refund that was made since then, newest first."""
        return await self._list(
            lambda client: client.v1.refunds.list_async({"created": _since(since), "limit": LISTED}), _REFUND
        )

    async def disputes_since(self, since: datetime) -> list[DisputeObject]:
        """Every dispute that was opened since then, newest first."""
        return await self._list(
            lambda client: client.v1.disputes.list_async({"created": _since(since), "limit": LISTED}), _DISPUTE
        )

    async def movements_since(self, since: datetime) -> list[MovementObject]:
        """Every balance transaction since then, newest first, with what caused it."""
        return await self._list(
            lambda client: client.v1.balance_transactions.list_async(
                {"created": _since(since), "limit": LISTED, "expand": ["data.source"]}
            ),
            _MOVEMENT,
        )

    async def undelivered_since(self, since: datetime) -> list[EventObject]:
        """Every event since then that no webhook of ours has taken, newest first."""
        return await self._list(
            lambda client: client.v1.events.list_async(
                {"created": _since(since), "limit": LISTED, "delivery_success": False}
            ),
            _HEARD,
        )

    async def read_event(self, body: bytes, signature: str) -> Event:
        """Check the signature over the raw bytes, and only then read them. Raises NotSigned."""
        return (await self._loaded()).read_event(body, signature)

    async def _ask(self, call: "Callable[[stripe.StripeClient], Awaitable[T]]") -> T:
        return await (await self._loaded()).ask(call)

    async def _loaded(self) -> "Sdk":
        async with self._loading:
            if self._sdk is None:
                self._sdk = await asyncio.to_thread(self._load)
        return self._sdk

    def _load(self) -> "Sdk":
        from pouch.payments.sdk import Sdk  # noqa: PLC0415 -- slow to import, and most commands never pay

        return Sdk(
            secret_key=self._secret_key,
            webhook_secret=self._webhook_secret,
            api_base=self._api_base,
            timeout_s=self._timeout_s,
        )

    async def _list(
        self, call: "Callable[[stripe.StripeClient], Awaitable[stripe.ListObject[O]]]", shape: TypeAdapter[T]
    ) -> list[T]:
        """Every page of a list."""

        async def read_all(client: "stripe.StripeClient") -> list[T]:
            first = await call(client)
            return [_read(shape, each) async for each in first.auto_paging_iter()]

        return await self._ask(read_all)


def _since(at: datetime) -> "stripe.params.PaymentIntentListParamsCreated":
    return {"gte": int(at.timestamp())}


def lines_of(purchase: Purchase, product: str) -> "list[LineItem]":
    """What the payment page lists: the credits, the fee, and the operator's own tax."""
    lines = [_line(product, purchase.amount, purchase)]
    if purchase.fee:
        lines.append(_line("Fee", purchase.fee, purchase))
    if purchase.tax:
        lines.append(_line(purchase.tax_name, purchase.tax, purchase))
    return lines


def _line(name: str, amount: Money, purchase: Purchase) -> "LineItem":
    line: LineItem = {
        "quantity": 1,
        "price_data": {"currency": CURRENCY, "unit_amount": amount.to_cents(), "product_data": {"name": name}},
    }
    if purchase.tax_mode == "automatic":
        # Tax comes on top of what stands here.
        line["price_data"]["tax_behavior"] = "exclusive"
    return line


def _read(shape: TypeAdapter[T], found: "stripe.StripeObject") -> T:
    try:
        return shape.validate_python(found.to_dict())
    except ValidationError as error:
        raise ProcessorSilent(f"An answer that cannot be read: {error}") from error
