"""While the card processor is away every page says so, and it is over as soon as it answers."""

import pytest

from payments.far_end import FarEnd
from payments.shop import Pouch, Shop
from pouch.payments.watch import Watch

pytestmark = pytest.mark.anyio


async def test_two_lost_answers_are_an_outage_and_one_answer_ends_it(shop: Shop) -> None:
    async with FarEnd.before(shop.cards.api_base) as far_end:
        pouch = Pouch(shop.database, api_base=far_end.url, timeout_s=0.3)
        watch = Watch(pouch.processor)
        await watch.look()
        assert watch.alarm() is None
        far_end.trouble = "hang"
        await watch.look()
        assert watch.alarm() is None
        await watch.look()
        assert watch.alarm() == "Cards cannot be charged right now. Your credits go on working."
        far_end.trouble = None
        await watch.look()
        assert watch.alarm() is None
        await pouch.processor.close()


async def test_a_refusal_is_an_answer(shop: Shop) -> None:
    pouch = Pouch(shop.database, api_base=shop.cards.api_base, secret_key="sk_test_of_somebody_else")
    watch = Watch(pouch.processor)
    for _ in range(3):
        await watch.look()
    assert not watch.is_down
    await pouch.processor.close()
