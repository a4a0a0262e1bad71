"""Starting a purchase: the row, then the customer, then the payment page."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NoReturn
from uuid import UUID

import structlog

from pouch.base.clock import Clock, system_clock
from pouch.base.database import Database
from pouch.base.errors import InvalidInput, TooManyRequests
from pouch.base.languages import say
from pouch.base.money import NANOS_PER_CENT, Money
from pouch.mail.outbox import address
from pouch.payments import card_rows, card_tests, closings, customers, purchases
from pouch.payments.charges import Charges
from pouch.payments.errors import (
    AttemptReused,
    KeyReused,
    NoProcessor,
    NoSuchObject,
    ProcessorRefused,
    ProcessorSilent,
)
from pouch.payments.processor import Processor
from pouch.payments.types import Order, Purchase, Session
from pouch.settings import Settings
from pouch.web.filters import dollars

SESSION_LIFE_S = 23 * 3600
"""How long a payment page can be paid. Stripe allows a day; the hour less is for clocks that differ, and keeps every
repetition of the request within the day for which its key is remembered."""
SESSION_LEFT_S_MIN = 45 * 60
"""With less of that life left no page is made: Stripe wants half an hour from its own clock."""
UNPAID_PER_HOUR_MAX = 60
"""Purchases that one organization may begin in an hour without paying; each is a page at the processor."""
START_TIMEOUT_S = 12.0
"""A buyer waits no longer for the payment page; the purchase's own page offers it later."""

ATTEMPT = re.compile(r"[!-~]{1,100}", re.ASCII)
"""What a page mints for one intention."""
_log = structlog.get_logger("pouch.payments")


class Checkout:
    """Takes a buyer to the card processor's payment page.

    The row is committed before the processor hears of it, and its id is the key of the request. So a form that is
    sent twice, a lost answer and a crash all end at the same purchase and the same page.
    """

    def __init__(
        self, database: Database, processor: Processor | None, settings: Settings, *, clock: Clock = system_clock
    ) -> None:
        self._database = database
        self._processor = processor
        self._clock = clock
        self._credits = settings.file.credits
        self._product = f"{settings.file.site.name} credits"
        self.charges = Charges.of(settings.file.payments)
        self._site_url = settings.url

    @property
    def is_open(self) -> bool:
        """Whether credits can be bought with a card here."""
        return self._processor is not None

    async def start(  # noqa: PLR0913 -- an order, by name
        self,
        *,
        organization_id: UUID,
        person_id: UUID,
        email: str,
        amount: Money,
        attempt: str,
        saves_card: bool = False,
        network: str = "",
    ) -> Purchase:
        """The purchase of this attempt, with its payment page when the processor answered: send the buyer to `url_of`.

        The same attempt gives the same purchase, in whatever state it is by now. Raises InvalidInput (`amount_usd`),
        NoProcessor, AttemptReused when the attempt came before with another amount, TooManyRequests after many others
        that were not paid or whose cards were refused, and ProcessorRefused when there will be no payment page; no
        answer is no failure: the purchase stays `created` and is tried again.
        """
        self._check(amount, attempt)
        if self._processor is None:
            raise NoProcessor
        quote = self.charges.quote(amount)
        order = Order(
            organization_id,
            person_id,
            address(email),
            amount,
            attempt,
            saves_card,
            fee=quote.fee,
            tax=quote.tax,
            tax_mode=quote.tax_mode,
            tax_name=quote.tax_name,
            fee_comes_back=quote.fee_comes_back,
        )
        async with self._database.transaction() as db:
            if await purchases.count_unpaid(db, organization_id, but_for=attempt) >= UNPAID_PER_HOUR_MAX:
                raise TooManyRequests(
                    say("Too many purchases were begun and not paid. Go on with one of them, or try again in an hour."),
                    retry_after_s=3600,
                )
            await card_tests.check(db, organization_id, network)
            purchase = await purchases.add_purchase(db, order, self._processor.mode, SESSION_LIFE_S)
            await card_tests.note_network(db, purchase.id, network)
        if purchase.amount != amount:
            raise AttemptReused(purchase.id, purchase.amount)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                return await self.open(purchase)
        except (ProcessorSilent, TimeoutError) as error:
            _log.warning("purchase_not_opened", purchase=purchase.shown_id, reason=repr(error))
            # Of two clicks the processor answers one and refuses the other for the moment: take what the first got.
            async with self._database.transaction() as db:
                return await purchases.get_purchase(db, purchase.id)

    async def open(self, purchase: Purchase) -> Purchase:
        """Give a `created` purchase its payment page: it is `open` then. Other states are left alone.

        Repeating it, also at the same time, gives the same page. Raises ProcessorSilent when it may or may not have
        been made, and ProcessorRefused when it will not be; the purchase is `failed` then.
        """
        processor = self._processor
        is_ours = processor is not None and purchase.mode == processor.mode and purchase.kind == "checkout"
        if processor is None or not is_ours or purchase.state != "created":
            return purchase
        async with self._database.transaction() as db:
            if await closings.closed_at(db, purchase.organization_id) is not None:
                return purchase
            if await purchases.expire_unopened(db, purchase.id, SESSION_LEFT_S_MIN):
                return await purchases.get_purchase(db, purchase.id)
        try:
            session = await self.with_customer(
                processor, purchase.organization_id, purchase.email, partial(self._session, processor, purchase)
            )
        except ProcessorRefused as refused:
            await self._give_up(purchase, refused)
        async with self._database.transaction() as db:
            if not await purchases.mark_open(db, purchase.id, session):
                _log.info("purchase_already_open", purchase=purchase.shown_id)
            return await purchases.get_purchase(db, purchase.id)

    def url_of(self, purchase: Purchase) -> str:
        """Where the buyer goes next: the payment page while it can be paid, else the purchase's own page."""
        if purchase.state == "open" and purchase.session_url and purchase.session_expires_at > self._clock():
            return purchase.session_url
        return self.page_of(purchase)

    @property
    def site_url(self) -> str:
        """The address of this site."""
        return self._site_url

    def page_of(self, purchase: Purchase) -> str:
        """The purchase's own page, which is its receipt, too."""
        return f"{self._site_url}/billing/purchases/{purchase.shown_id}"

    def check_amount(self, amount: Money) -> None:
        """Raise InvalidInput (`amount_usd`) for what is not sold here."""
        if amount.nanos % NANOS_PER_CENT:
            raise InvalidInput(say("Cards are charged in whole cents."), field="amount_usd")
        least, most = self._credits.purchase_min_usd, self._credits.purchase_max_usd
        if not least <= amount <= most:
            limits = say("The amount must be from %(least)s to %(most)s.", least=dollars(least), most=dollars(most))
            raise InvalidInput(limits, field="amount_usd")

    def _check(self, amount: Money, attempt: str) -> None:
        self.check_amount(amount)
        if not ATTEMPT.fullmatch(attempt):
            raise InvalidInput(say("The form was not complete. Open Billing again."), field="attempt")

    async def with_customer(
        self, processor: Processor, organization_id: UUID, email: str, make: Callable[[str, str], Awaitable[Session]]
    ) -> Session:
        """The page that `make` makes for the organization's customer; it gets the customer, and an end for its key.

        A customer that the processor does not know any more (deleted there, or of another account) is replaced once.
        Its refusal is stored under the key that it got, so what is asked for with the new one has another key; nothing
        can exist under the first.
        """
        customer, end = await self._customer(processor, organization_id, email)
        try:
            return await make(customer, end)
        except NoSuchObject as gone:
            if gone.param != "customer":
                raise
            await self._forget_customer(processor, organization_id, customer)
        customer, end = await self._customer(processor, organization_id, email)
        return await make(customer, end)

    async def _customer(self, processor: Processor, organization_id: UUID, email: str) -> tuple[str, str]:
        """The organization's customer, made once: its request is written down before it is sent.

        A key that was forgotten after a day makes a second customer. It holds neither money nor card, so nothing is
        lost but tidiness.
        """
        async with self._database.transaction() as db:
            known, email, number = await customers.add_customer(db, organization_id, processor.mode, email)
        end = f":{number}" if number else ""
        if known is not None:
            return known, end
        made = await processor.create_customer(
            organization_id=organization_id, email=email, key=f"cust:{organization_id}{end}"
        )
        async with self._database.transaction() as db:
            return await customers.store_customer(db, organization_id, processor.mode, made), end

    async def _forget_customer(self, processor: Processor, organization_id: UUID, customer: str) -> None:
        """Its cards went with it. What was begun with it still belongs to it: each purchase keeps its own."""
        async with self._database.transaction() as db:
            await card_rows.lock_cards(db, organization_id)
            if await customers.forget_customer(db, organization_id, processor.mode, customer):
                await card_rows.remove_all(db, organization_id, processor.mode)
                _log.error("customer_replaced", organization=str(organization_id), customer=customer)

    async def _session(self, processor: Processor, purchase: Purchase, customer: str, end: str) -> Session:
        async with self._database.transaction() as db:
            noted = (await purchases.get_purchase(db, purchase.id)).customer
        if noted is not None and noted != customer:
            # It was begun with a customer that was replaced since, and the answer may have been lost.
            with contextlib.suppress(NoSuchObject):
                made = await processor.look_up_session(customer=noted, reference=purchase.shown_id)
                if made is not None:
                    return made
        async with self._database.transaction() as db:
            await purchases.note_customer(db, purchase.id, customer)
        try:
            return await processor.create_session(
                purchase,
                customer=customer,
                product=self._product,
                page=self.page_of(purchase),
                collects_tax_id=self.charges.collects_tax_id,
                key=f"co:{purchase.id}{end}",
            )
        except KeyReused:
            # The site's name or address changed between two tries, so this is another request under the same key. The
            # first may have been answered while nobody listened: what it made is looked up, never made a second time.
            made = await processor.look_up_session(customer=customer, reference=purchase.shown_id)
            if made is None:
                raise
            return made

    async def _give_up(self, purchase: Purchase, refused: ProcessorRefused) -> NoReturn:
        _log.error("purchase_refused", purchase=purchase.shown_id, reason=refused.reason)
        async with self._database.transaction() as db:
            await purchases.move(db, purchase.id, "failed", since=["created"], reason=refused.message)
        raise refused
