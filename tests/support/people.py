"""Customers of a running Pouch, made and looked at straight in its database: quicker than by its commands."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from pouch.base.database import Connection
from pouch.base.money import Money
from pouch.identity.keys import add_key
from pouch.identity.people import add_person
from pouch.identity.types import Person
from pouch.ledger.accounts import Balance, balance
from support.pouch import POLL_S

SETTLE_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Customer:
    """A verified person with credits; `secret` is an API key without a limit."""

    person: Person
    secret: str

    @property
    def organization_id(self) -> UUID:
        """Whose credits they spend."""
        return self.person.organization_id


async def add_customer(url: str, email: str, credits_: Money) -> Customer:
    """Register a person with so many credits and a key."""
    async with committing(url) as db:
        person = await add_person(db, email, None, verified=True, welcome=credits_)
        _, secret = await add_key(db, person, "test")
    return Customer(person, secret)


async def add_limited_key(url: str, customer: Customer, limit: Money) -> tuple[UUID, str]:
    """One more key of theirs, with a limit: its id and its secret."""
    async with committing(url) as db:
        key, secret = await add_key(db, customer.person, "limited", limit=limit)
    return key.id, secret


async def funds_of(url: str, customer: Customer) -> Balance:
    """What they have right now."""
    async with committing(url) as db:
        return await balance(db, customer.organization_id)


async def until_nothing_is_held(url: str, customer: Customer) -> None:
    """Wait until every call of theirs is settled."""
    async with asyncio.timeout(SETTLE_TIMEOUT_S):
        while (await funds_of(url, customer)).held:
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def committing(url: str) -> AsyncIterator[Connection]:
    """A connection with one transaction around the block."""
    connection: AsyncConnection[TupleRow]
    async with await AsyncConnection.connect(url, options="-c timezone=UTC") as connection, connection.transaction():
        yield connection
