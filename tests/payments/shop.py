"""A shop: Pouch's payments on one side, a card processor that really listens on the other."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal
from uuid import UUID

import httpx
from pydantic import SecretStr
from starlette.applications import Starlette

from pouch.base.clock import Clock, system_clock
from pouch.base.database import Connection, Database
from pouch.base.ids import new_id, show_id
from pouch.base.money import Money
from pouch.embedded.cards import disputes as cards_disputes
from pouch.embedded.cards import refunds as cards_refunds
from pouch.embedded.cards import store
from pouch.embedded.cards.delivery import Delivery, sign
from pouch.embedded.cards.types import Charge, Intent
from pouch.embedded.cards.types import Dispute as CardsDispute
from pouch.embedded.cards.types import Refund as CardsRefund
from pouch.embedded.cards.types import Session as CardsSession
from pouch.ledger.accounts import SYSTEM_ACCOUNT_IDS, Balance, balance, open_account
from pouch.ledger.check import check
from pouch.ledger.operations import Capture, Hold, SystemAccount
from pouch.ledger.posting import post
from pouch.payments import disputes, purchases, refunds
from pouch.payments.checkout import Checkout
from pouch.payments.disputes import Dispute
from pouch.payments.events import Inbox
from pouch.payments.jobs import PaymentJobs
from pouch.payments.processor import Processor
from pouch.payments.refunding import Ask, Refunding
from pouch.payments.refunds import Refund, RefundSource
from pouch.payments.sync import Sync
from pouch.payments.types import Purchase
from pouch.payments.webhooks import Webhooks
from pouch.settings import Settings
from pouch.topups.room import TopUps
from support.cards import SECRET_KEY, WEBHOOK_SECRET, RunningProcessor, card_processor

ALICE = "alice@example.com"


class Pouch:
    """Payments, put together as app.py does it. A test may make several on one database: processes, or lives of one."""

    def __init__(
        self,
        database: Database,
        *,
        api_base: str,
        secret_key: str = SECRET_KEY,
        timeout_s: float = 8,
        settings: Settings | None = None,
        clock: Clock = system_clock,
        kind: Literal["stripe", "embedded"] = "embedded",
        webhook_secret: str = WEBHOOK_SECRET,
    ) -> None:
        self.database = database
        self.processor = Processor(
            kind=kind,
            secret_key=secret_key,
            webhook_secret=webhook_secret,
            api_base=api_base,
            timeout_s=timeout_s,
        )
        settings = settings or Settings(config="", secret_key=SecretStr("a secret of the tests"))
        self.checkout = Checkout(database, self.processor, settings)
        self.topups = TopUps.of(database, self.processor, self.checkout, settings)
        self.sync = self.topups.sync
        self.inbox = Inbox(database, self.sync)
        self.refunding = Refunding(
            database, self.processor, self.checkout, self.sync, window=timedelta(hours=24), clock=clock
        )
        self.jobs = PaymentJobs(database, self.processor, self.sync, self.inbox, self.refunding)
        self.app = Starlette(routes=Webhooks(database, self.processor, self.inbox).routes())

    async def post(self, body: bytes, signature: str | None) -> int:
        """Post to the webhook and wait until what follows the answer is done, too. Returns the status."""
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        headers = [] if signature is None else [(b"stripe-signature", signature.encode("latin-1"))]
        async with httpx.AsyncClient(transport=transport, base_url="http://pouch") as client:
            return (await client.post("/webhooks/stripe", content=body, headers=headers)).status_code


class TellingInbox(Inbox):
    """Says when an event has been dealt with, so that a test need not guess."""

    def __init__(self, database: Database, sync: Sync) -> None:
        super().__init__(database, sync)
        self.is_done = asyncio.Event()

    async def process(self, event_id: UUID) -> None:
        await super().process(event_id)
        self.is_done.set()


@dataclass
class Shop:
    """Alice's organization, and everything around it."""

    database: Database
    cards: RunningProcessor
    pouch: Pouch
    alice: UUID = field(default_factory=new_id)
    """Her organization; Bob shares it."""

    async def start(
        self, usd: str = "10.00", attempt: str = "first", pouch: Pouch | None = None, *, saves_card: bool = False
    ) -> Purchase:
        """Alice presses Buy."""
        return await (pouch or self.pouch).checkout.start(
            organization_id=self.alice,
            person_id=self.alice,
            email=ALICE,
            amount=Money.parse(usd),
            attempt=attempt,
            saves_card=saves_card,
        )

    async def pay(self, purchase: Purchase, **card: str) -> None:
        """Alice pays on the processor's page. Nothing of it has reached Pouch yet."""
        assert purchase.session_url is not None
        await self.cards.pay(purchase.session_url, **card)

    async def events(self, *types: str) -> list[bytes]:
        """What the processor would send about Alice, oldest first: all of it, or these types."""
        async with self.database.transaction() as db:
            rows = await db.execute(
                """
                SELECT id, created_at, type, object FROM cards_events
                 WHERE (%(types)s::text[] = '{}' OR type = ANY(%(types)s))
                   AND (object->'metadata'->>'organization' = %(organization)s
                        OR object->>'payment_intent' IN
                           (SELECT id FROM cards_intents WHERE metadata->>'organization' = %(organization)s))
                 ORDER BY seq
                """,
                {"types": list(types), "organization": show_id("org", self.alice)},
            )
            return [
                Delivery(id=id_, created_at=created_at, type=type_, object=object_, attempts=1).payload
                for id_, created_at, type_, object_ in await rows.fetchall()
            ]

    async def deliver(self, *types: str, pouch: Pouch | None = None) -> list[int]:
        """Have the processor's events arrive, in order. Returns the answers."""
        to = pouch or self.pouch
        return [await to.post(body, sign(body, WEBHOOK_SECRET)) for body in await self.events(*types)]

    async def buy(self, usd: str = "10.00", attempt: str = "first", **card: str) -> Purchase:
        """Alice buys, and the credits have come."""
        purchase = await self.start(usd, attempt)
        await self.pay(purchase, **card)
        return await self.pouch.sync.purchase(purchase.id)

    async def spend(self, usd: str) -> None:
        """Alice's organization uses so much of its credits."""
        hold = Hold(new_id(), self.alice, Money.parse(usd).nanos)
        async with self.database.transaction() as db:
            await post(db, [hold])
            await post(db, [Capture(hold, hold.amount_nanos)])

    async def refund(
        self, purchase: Purchase, usd: str, attempt: str = "first", *, pouch: Pouch | None = None, by: str = "operator"
    ) -> Refund:
        """The operator, or Alice, presses Refund."""
        source: RefundSource = "operator" if by == "operator" else "customer"
        ask = Ask(source, self.alice, Money.parse(usd), attempt, note="Sorry for the trouble")
        return await (pouch or self.pouch).refunding.start(purchase.id, ask)

    async def object_to(self, purchase: Purchase, *, usd: str | None = None, inquiry: bool = False) -> str:
        """Somebody asks their bank for the money of a purchase. Returns the dispute's id."""
        cents = Money.parse(usd).to_cents() if usd else None
        async with self.database.transaction() as db:
            charge = await self._charge(db, purchase)
            made = await cards_disputes.open_dispute(self.cards.desk(db), charge, cents=cents, is_inquiry=inquiry)
        return made.id

    async def decide(self, dispute_id: str, verdict: cards_disputes.Verdict) -> None:
        """The bank decides."""
        async with self.database.transaction() as db:
            dispute = await store.lock(db, CardsDispute, dispute_id)
            assert dispute is not None
            await cards_disputes.decide(self.cards.desk(db), dispute, verdict)

    async def warn(self, purchase: Purchase) -> None:
        """The card network thinks that a payment is fraud."""
        async with self.database.transaction() as db:
            await cards_disputes.warn(self.cards.desk(db), await self._charge(db, purchase))

    async def refund_there(self, purchase: Purchase, usd: str) -> str:
        """Somebody refunds at the processor's own site. Returns the refund's id."""
        async with self.database.transaction() as db:
            charge, cents = await self._charge(db, purchase), Money.parse(usd).to_cents()
            made = await cards_refunds.refund(self.cards.desk(db), charge, cents, None, {})
        return made.id

    async def fail_refund(self, refund_id: str) -> None:
        """The bank cannot take the money."""
        async with self.database.transaction() as db:
            refund = await store.lock(db, CardsRefund, refund_id)
            assert refund is not None
            charge = await store.lock(db, Charge, refund.charge_id)
            assert charge is not None
            await cards_refunds.fail_refund(self.cards.desk(db), charge, refund)

    async def _charge(self, db: Connection, purchase: Purchase) -> Charge:
        intent = await store.find(db, Intent, purchase.payment_id)
        if intent is None:
            session = await store.find(db, CardsSession, purchase.session_id)
            intent = await store.find(db, Intent, session.intent_id if session else None)
        charge = await store.lock(db, Charge, intent.latest_charge_id if intent else None)
        assert charge is not None
        return charge

    async def disputes(self, purchase: Purchase) -> list[Dispute]:
        """The disputes of a purchase as their rows say."""
        async with self.database.transaction() as db:
            return await disputes.of_purchase(db, purchase.id)

    async def has(self) -> Balance:
        """What Alice's organization has and owes."""
        async with self.database.transaction() as db:
            return await balance(db, self.alice)

    async def refunds(self, purchase: Purchase) -> list[Refund]:
        """The refunds of a purchase as their rows say."""
        async with self.database.transaction() as db:
            return await refunds.of_purchase(db, purchase.id)

    async def moved(self, account: SystemAccount) -> Money:
        """What has come to one of the operator's accounts because of Alice."""
        async with self.database.transaction() as db:
            rows = await db.execute(
                """
                SELECT coalesce(sum(CASE credit_account_id WHEN %(id)s THEN amount_nanos ELSE -amount_nanos END), 0)
                       ::bigint
                  FROM ledger_transfers
                 WHERE %(id)s IN (credit_account_id, debit_account_id)
                   AND cause IN (SELECT id FROM payment_purchases WHERE organization_id = %(alice)s)
                """,
                {"id": SYSTEM_ACCOUNT_IDS[account], "alice": self.alice},
            )
            row = await rows.fetchone()
        assert row is not None
        return Money(row[0])

    async def mails(self) -> list[str]:
        """The kinds of letters that were written to Alice, oldest first. Operators of other tests get theirs."""
        async with self.database.transaction() as db:
            rows = await db.execute("SELECT kind FROM mail_letters WHERE to_address = %s ORDER BY id", (ALICE,))
            return [kind for (kind,) in await rows.fetchall()]

    async def assert_clean(self) -> None:
        """The books hold, and nobody is below zero."""
        async with self.database.transaction() as db:
            assert await check(db) == []

    async def now(self, purchase: Purchase) -> Purchase:
        """The purchase as its row says."""
        async with self.database.transaction() as db:
            return await purchases.get_purchase(db, purchase.id)

    async def available(self) -> Money:
        """What Alice's organization can spend."""
        async with self.database.transaction() as db:
            return (await balance(db, self.alice)).available

    async def count(self, table: str, where: str = "true") -> int:
        """How many rows there are."""
        async with self.database.transaction() as db:
            rows = await db.execute(f"SELECT count(*) FROM {table} WHERE {where}")
            row = await rows.fetchone()
            assert row is not None
            return int(row[0])

    async def credits(self) -> int:
        """How many transfers have reached Alice's organization."""
        return await self.count(
            "ledger_transfers t JOIN ledger_accounts a ON a.id = t.credit_account_id",
            f"a.organization_id = '{self.alice}'",
        )

    async def change(self, statement: str, *values: object) -> None:
        """Lay hands on the database."""
        async with self.database.transaction() as db:
            await db.execute(statement, values)

    async def next_alice(self) -> None:
        """Begin another story on the same tables, with another organization."""
        self.alice = new_id()
        async with self.database.transaction() as db:
            await open_account(db, self.alice)

    async def assert_credited_once(self, usd: str = "10.00") -> None:
        """One credit, one mail, one customer and one payment page, whatever happened."""
        ours = f"(SELECT id FROM payment_purchases WHERE organization_id = '{self.alice}')"
        theirs = f"metadata->>'organization' = '{show_id('org', self.alice)}'"
        assert await self.available() == Money.parse(usd)
        assert await self.count("payment_purchases", f"organization_id = '{self.alice}' AND state = 'credited'") == 1
        assert await self.count("ledger_transfers", f"kind = 'purchase' AND cause IN {ours}") == 1
        assert await self.credits() == 1
        assert await self.count("mail_letters", f"key IN (SELECT 'purchase:' || id FROM {ours} AS of_alice)") == 1
        assert await self.count("cards_customers", theirs) == 1
        assert await self.count("cards_sessions", theirs) == 1
        assert await self.count("cards_intents", f"{theirs} AND status = 'succeeded'") == 1


OpenShop = Callable[..., AbstractAsyncContextManager[Shop]]


@asynccontextmanager
async def shop_on(
    database_url: str, *, settle_after_s: float = 0, lose_answers: int = 0, settings: Settings | None = None
) -> AsyncIterator[Shop]:
    """Open a shop on a migrated database. Its bank debits take so long, and so many answers get lost."""
    async with (
        Database(database_url, size_max=8) as database,
        card_processor(database_url, settle_after_s=settle_after_s, lose_answers=lose_answers) as cards,
    ):
        shop = Shop(database, cards, Pouch(database, api_base=cards.api_base, settings=settings))
        async with database.transaction() as db:
            await open_account(db, shop.alice)
        yield shop
        await shop.pouch.processor.close()
