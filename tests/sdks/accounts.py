"""Who pays in the tests of the SDKs."""

import asyncio
from decimal import Decimal

from pouch.base.money import Money
from support import people
from support.people import Customer
from support.pouch import RunningPouch

DOLLAR = Money.parse("1")


def add_customer(pouch: RunningPouch, email: str, credits_: Money = DOLLAR) -> Customer:
    return asyncio.run(people.add_customer(pouch.ends.database_url, email, credits_))


def spent_by(pouch: RunningPouch, customer: Customer) -> Decimal:
    """What is gone of a dollar, once nothing is held."""
    funds = asyncio.run(people.funds_of(pouch.ends.database_url, customer))
    assert funds.held.nanos == 0
    return Decimal((DOLLAR - funds.posted).decimal())
