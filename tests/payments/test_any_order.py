"""Webhooks before, after, twice, never and shuffled, with refunds and disputes mixed in: the books end the same.

What happens at the bank is drawn first; then the news of it arrives in any order, any number of times, some of it
never, and a check makes up for what was lost. Whatever the order, the end is that of the plain one, no balance is below
zero on the way, and all accounts come to zero.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from payments.conftest import forget_last_test
from payments.shop import Shop, shop_on
from payments.test_fee_and_tax import FIXED, settings_with
from pouch.base.errors import InvalidInput
from pouch.base.ids import show_id
from pouch.base.money import ZERO
from pouch.embedded.cards.delivery import sign
from pouch.embedded.cards.errors import Refusal
from pouch.ledger.operations import SystemAccount
from pouch.payments.errors import NotRefundable
from pouch.payments.reconciling import Reconciling
from pouch.payments.types import Purchase
from support.cards import WEBHOOK_SECRET

CLEARING: tuple[SystemAccount, ...] = ("stripe_clearing", "refund_clearing", "writeoff", "revenue:fees", "tax_payable")
ACTS = (
    "refund_here",
    "refund_there",
    "refund_more",
    "fail_refund",
    "dispute",
    "inquire",
    "escalate",
    "win",
    "lose",
    "warn",
)


@dataclass
class Bank:
    """What has happened at the processor to one purchase."""

    shop: Shop
    purchase: Purchase
    refunds: list[str] = field(default_factory=list)
    dispute: str | None = None

    async def act(self, what: str) -> None:  # noqa: C901 -- one case for each thing a bank does
        """Do it, if the processor lets it happen."""
        shop, purchase = self.shop, self.purchase
        try:
            match what:
                case "refund_here":
                    await shop.refund(purchase, "2.01", f"here-{len(await shop.refunds(purchase))}")
                case "refund_there":
                    self.refunds.append(await shop.refund_there(purchase, "3.00"))
                case "refund_more":
                    self.refunds.append(await shop.refund_there(purchase, "4.50"))
                case "fail_refund" if self.refunds:
                    await shop.fail_refund(self.refunds.pop())
                case "dispute" if self.dispute is None:
                    self.dispute = await shop.object_to(purchase)
                case "inquire" if self.dispute is None:
                    self.dispute = await shop.object_to(purchase, inquiry=True)
                case "escalate" if self.dispute:
                    await shop.decide(self.dispute, "escalated")
                case "win" if self.dispute:
                    await shop.decide(self.dispute, "won")
                case "lose" if self.dispute:
                    await shop.decide(self.dispute, "lost")
                case "warn":
                    await shop.warn(purchase)
                case _:
                    pass
        except (Refusal, NotRefundable, InvalidInput):
            return


async def end_of(shop: Shop, purchase: Purchase) -> tuple[object, ...]:
    """All that must be the same whatever the order was."""
    has = await shop.has()
    await shop.assert_clean()
    assert has.available >= ZERO
    assert not (has.available and has.debt)
    return (
        has.posted,
        has.held,
        has.debt,
        (await shop.now(purchase)).state,
        *[await shop.moved(account) for account in CLEARING],
        sorted((str(each.amount), each.state, each.counts) for each in await shop.refunds(purchase)),
        [(each.status, each.withdrawn, each.reinstated) for each in await shop.disputes(purchase)],
    )


async def begin(shop: Shop, acts: Sequence[str], spent: str) -> Purchase:
    """A purchase that is paid and half spent, and then all that happens at the bank without a word to us."""
    purchase = await shop.buy("10.00") if spent else await shop.start("10.00")
    if spent:
        await shop.spend(spent)
    else:
        await shop.pay(purchase)
    bank = Bank(shop, purchase)
    for act in acts:
        await bank.act(act)
    return purchase


async def story(  # noqa: PLR0917 -- what is drawn
    url: str, acts: Sequence[str], spent: str, order: Sequence[float], lost: int, charges: Path | None
) -> None:
    forget_last_test(url)
    async with shop_on(url, settings=settings_with(charges, FIXED) if charges else None) as shop:
        purchase = await begin(shop, acts, spent)
        events = await shop.events()
        news = [events[int(at * len(events)) % len(events)] for at in order]
        for body in news[: len(news) - lost]:
            assert await shop.pouch.post(body, sign(body, WEBHOOK_SECRET)) == 200
            assert (await shop.has()).available >= ZERO
        reconciling = Reconciling(shop.database, shop.pouch.processor, shop.pouch.sync, shop.pouch.inbox)
        check = await reconciling.check("clock")
        assert (check.differences, check.error) == (0, "")
        shuffled = await end_of(shop, purchase)
        # Everything once more, in order: nothing moves.
        await shop.deliver()
        assert await end_of(shop, purchase) == shuffled

        await shop.next_alice()
        plain = await begin(shop, acts, spent)
        await shop.deliver()
        await reconciling.check("clock")
        assert await end_of(shop, plain) == shuffled
        assert show_id("org", shop.alice)


@pytest.mark.timeout(400)
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
    derandomize=True,
)
@given(
    acts=st.lists(st.sampled_from(ACTS), max_size=6),
    spent=st.sampled_from(["", "", "2.00", "9.75", "10.00"]),
    order=st.lists(st.floats(0, 1, exclude_max=True), max_size=14),
    lost=st.integers(0, 3),
    is_charged=st.booleans(),
)
def test_the_books_end_the_same_in_whatever_order_the_news_comes(  # noqa: PLR0917 -- what is drawn
    payments_database: str,
    tmp_path_factory: pytest.TempPathFactory,
    acts: list[str],
    spent: str,
    order: list[float],
    lost: int,
    is_charged: bool,
) -> None:
    """With a fee and a tax on top, and without."""
    charges = tmp_path_factory.getbasetemp() if is_charged else None
    asyncio.run(story(payments_database, acts, spent, order, lost, charges))
