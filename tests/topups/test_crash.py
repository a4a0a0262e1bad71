"""The process is killed at every step of a top-up, an answer is lost at every request: one charge, one credit."""

import pytest

from payments.far_end import FarEnd
from payments.mortal import MortalDatabase, PowerCut
from payments.shop import Pouch
from topups.till import Till

pytestmark = pytest.mark.anyio


async def tell(till: Till, pouch: Pouch) -> None:
    """A worker tops up, and everything that the processor has to say arrives, twice."""
    await till.work(pouch)
    for _ in range(2):
        await till.shop.deliver(pouch=pouch)


async def assert_topped_up_once(till: Till) -> None:
    assert await till.charges() == 1
    assert await till.states() == ["credited"]
    assert await till.balance() == await till.shop.available()
    assert str(await till.balance()) == "$29.000000000"
    ours = f"key IN (SELECT 'purchase:' || id FROM payment_purchases WHERE organization_id = '{till.alice}')"
    assert await till.shop.count("mail_letters", ours) == 1
    assert await till.crossings() == (0, 1)
    await till.audit()


@pytest.mark.parametrize("commits", [False, True], ids=["before_the_commit", "after_the_commit"])
async def test_a_death_at_any_transaction_of_a_top_up_leaves_one_charge_and_one_credit(
    till: Till, database_url: str, *, commits: bool
) -> None:
    deaths = 0
    while True:
        await till.shop.next_alice()
        await till.arm()
        await till.spend("6")
        async with MortalDatabase(database_url, dies_at=deaths + 1, commits=commits) as mortal:
            pouch = Pouch(mortal, api_base=till.shop.cards.api_base)
            try:
                await tell(till, pouch)
            except PowerCut:
                deaths += 1
            else:
                break
            finally:
                await pouch.processor.close()
        # The next worker comes when the lease of the dead one is over.
        await till.time_passes(90)
        await tell(till, till.pouch)
        await assert_topped_up_once(till)
        await till.shop.change("DELETE FROM cards_charges")
    await assert_topped_up_once(till)
    assert deaths >= 5


async def test_an_answer_lost_at_any_request_of_a_top_up_leaves_one_charge_and_one_credit(till: Till) -> None:
    """The processor did what it was asked; its answer never came, and from then on the network is gone for a while."""
    for answers in range(4):
        await till.shop.next_alice()
        await till.arm()
        await till.spend("6")
        async with FarEnd.before(till.shop.cards.api_base) as far_end:
            far_end.answers = answers
            pouch = Pouch(till.shop.database, api_base=far_end.url, timeout_s=2)
            await till.work(pouch)
            await pouch.processor.close()
        if answers < 2:
            assert await till.states() == ["unknown"]
        await till.time_passes(90)
        await tell(till, till.pouch)
        await assert_topped_up_once(till)
        await till.shop.change("DELETE FROM cards_charges")
