"""People who buy credits over HTTP while everything around them dies, and know afterwards what they paid."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import httpx

from kills.books import connected
from pouch.base.database import Connection
from pouch.base.ids import read_id
from pouch.base.money import Money
from pouch.identity.passwords import Passwords
from pouch.identity.people import add_person

PASSWORD = "correct horse battery"
TRY_AGAIN_S = 0.3
CARD = {"number": "4242 4242 4242 4242", "expiration": "12 / 34", "cvc": "123"}

_PURCHASES = """
SELECT p.id, p.attempt, p.state, p.amount_nanos,
       (SELECT count(*) FROM ledger_transfers AS t
         WHERE t.kind = 'purchase' AND t.cause = p.id AND t.amount_nanos = p.amount_nanos),
       (SELECT count(*) FROM cards_charges AS c WHERE c.intent_id = p.payment_id AND c.status = 'succeeded'),
       (SELECT count(*) FROM mail_letters AS m WHERE m.key = 'purchase:' || p.id AND m.state = 'sent')
  FROM payment_purchases AS p
"""
_WAITING = """
SELECT (SELECT count(*) FROM mail_letters WHERE state <> 'sent')
     + (SELECT count(*) FROM payment_events WHERE state = 'waiting')
     + (SELECT count(*) FROM cards_deliveries WHERE due_at IS NOT NULL)
     + (SELECT count(*) FROM payment_purchases AS p JOIN cards_sessions AS s ON s.id = p.session_id
         WHERE s.status = 'complete' AND p.state <> 'credited')
"""
_SUMS = """
SELECT (SELECT coalesce(sum(amount_cents), 0) FROM cards_charges WHERE status = 'succeeded'),
       (SELECT coalesce(sum(amount_nanos), 0) FROM ledger_transfers WHERE kind = 'purchase')
"""


@dataclass(frozen=True, slots=True)
class Bought:
    """One intention to buy. `is_paid`: the buyer saw that the payment page was done with."""

    attempt: str
    amount: Money
    is_paid: bool


@dataclass
class Buyer:
    """One person with a browser, who tries everything again until it is answered."""

    email: str
    browser: httpx.AsyncClient
    rng: random.Random
    bought: list[Bought] = field(default_factory=list)
    is_over: bool = False

    async def buy_on_and_on(self) -> None:
        """Sign in, then one purchase after the other, until `is_over`."""
        await self.sign_in()
        while not self.is_over:
            # Some think better of it on the payment page.
            is_paid = self.rng.random() < 0.85
            await self.buy(Money.from_cents(self.rng.randint(500, 5000)), is_paid=is_paid)
            await asyncio.sleep(self.rng.uniform(0.2, 1.0))

    async def sign_in(self) -> None:
        """Sign in with the password."""
        await self._post("/sign-in", {"email": self.email, "password": PASSWORD})

    async def buy(self, amount: Money, *, is_paid: bool = True) -> None:
        """One purchase, as far as its payment page, or to its end."""
        attempt = str(uuid4())
        form = {"attempt": attempt, "amount_usd": amount.decimal()[:-7]}
        page = await self._post("/billing/purchases", form)
        while "/embedded/cards/pay/" not in page:  # the processor was away, so there is no payment page yet
            await asyncio.sleep(TRY_AGAIN_S)
            page = await self._post("/billing/purchases", form)
        if is_paid:
            receipt = await self._post(page, CARD)
            if self.rng.random() < 0.5:  # others close the window
                await self._answer("GET", receipt)
        self.bought.append(Bought(attempt, amount, is_paid))

    async def _post(self, url: str, form: dict[str, str]) -> str:
        """Send a form until it leads on: where to."""
        answer = await self._answer("POST", url, form)
        assert answer.status_code == 303, f"{url}: {answer.status_code} {answer.text}"
        return answer.headers["location"]

    async def _answer(self, method: str, url: str, form: dict[str, str] | None = None) -> httpx.Response:
        while True:
            try:
                answer = await self.browser.request(method, url, data=form)
            except (httpx.HTTPError, AttributeError):  # uvloop: a connection that is reset while it is made has no peer
                await asyncio.sleep(TRY_AGAIN_S)
                continue
            if answer.status_code < 500:
                return answer
            await asyncio.sleep(TRY_AGAIN_S)


@asynccontextmanager
async def buying(url: str, database_url: str, emails: list[str], *, seed: int) -> AsyncIterator[list[Buyer]]:
    """New people who buy until the end of the block, and finish what they are at."""
    async with connected(database_url) as db:
        hashed = await Passwords().hash(PASSWORD)
        for email in emails:
            await add_person(db, email, hashed, verified=True)
    buyers = [
        Buyer(email, httpx.AsyncClient(base_url=url, headers={"origin": url}, timeout=30, trust_env=False), rng)
        for email, rng in ((email, random.Random(f"{seed} {email}")) for email in emails)
    ]
    try:
        async with asyncio.TaskGroup() as group:
            for buyer in buyers:
                group.create_task(buyer.buy_on_and_on())
            yield buyers
            for buyer in buyers:
                buyer.is_over = True
    finally:
        for buyer in buyers:
            await buyer.browser.aclose()


async def pauses_are_over(db: Connection) -> None:
    """What failed while its far end was dead waits for minutes, as it should; we do not. Leases of the dead stay."""
    for table in ("mail_letters", "payment_events", "payment_purchases", "cards_deliveries"):
        await db.execute(f"UPDATE {table} SET due_at = now() WHERE due_at > now()".encode())


async def is_waiting(db: Connection) -> int:
    """How many letters, events and paid purchases somebody still has to see to."""
    row = await (await db.execute(_WAITING)).fetchone()
    assert row is not None
    count: int = row[0]
    return count


async def judge_purchases(db: Connection, buyers: list[Buyer]) -> tuple[list[str], dict[UUID, str]]:
    """What is wrong with the purchases, in sentences, and the ids of those that were credited, with the buyer."""
    problems: list[str] = []
    wanted = {bought.attempt: (buyer.email, bought) for buyer in buyers for bought in buyer.bought}
    credited: dict[UUID, str] = {}
    seen = set()
    for id_, attempt, state, amount, credits_, charges, letters in await (await db.execute(_PURCHASES)).fetchall():
        if attempt not in wanted:
            problems.append(f"{id_} is {state}, and nobody wanted it")
            continue
        email, bought = wanted[attempt]
        seen.add(attempt)
        once = 1 if bought.is_paid else 0
        found = (state, amount, credits_, charges, letters)
        if found != ("credited" if bought.is_paid else "open", bought.amount.nanos, once, once, once):
            problems.append(f"{id_} of {bought}: state, amount, credits, charges, letters are {found}")
        if bought.is_paid:
            credited[id_] = email
    problems += [f"{wanted[attempt]} has no purchase" for attempt in wanted.keys() - seen]
    row = await (await db.execute(_SUMS)).fetchone()
    assert row is not None
    if Money.from_cents(int(row[0])) != Money(int(row[1])):
        problems.append(f"cards were charged {row[0]} cents, and {row[1]} nano-dollars were credited")
    return problems, credited


def receipts_in(mails: list[dict[str, str]]) -> set[UUID]:
    """The purchases that letters speak of."""
    words = [word for mail in mails for word in mail["text"].replace("/", " ").split()]
    return {id_ for word in words if (id_ := read_id("pur", word)) is not None}
