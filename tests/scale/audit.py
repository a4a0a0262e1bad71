"""What must be true of an account after any crowd."""

from collections.abc import Sequence

from pouch.base.money import ZERO, Money
from pouch.ledger.check import check_now
from scale.crowd import Reply, cost_of
from scale.replay import Replayed, replay
from support.people import Customer, committing, funds_of
from support.pouch import RunningPouch


async def audit(pouch: RunningPouch, customer: Customer, began_with: Money, replies: Sequence[Reply]) -> Replayed:
    """Spent is the sum of what was told, nothing is held at rest, and no commit ever left less than was held."""
    url = pouch.ends.database_url
    funds = await funds_of(url, customer)
    assert funds.held == ZERO
    assert began_with - funds.posted == cost_of(replies)
    async with committing(url) as db:
        assert await check_now(db) == []
    async with committing(url) as db:
        replayed = await replay(db, customer.organization_id)
    assert replayed.wrong == []
    assert replayed.held_most <= began_with
    return replayed
