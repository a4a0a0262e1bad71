"""What a worker does: events that nobody acted on, and purchases that no event ever mentioned."""

import asyncio
from uuid import UUID

import pytest

from payments.far_end import FarEnd
from payments.shop import Pouch, Shop, TellingInbox
from pouch.base.database import Database
from pouch.embedded.cards.delivery import sign
from pouch.jobs.registry import Jobs
from pouch.payments import events
from pouch.payments.jobs import PaymentJobs
from support.cards import WEBHOOK_SECRET

pytestmark = pytest.mark.anyio


async def make_due(shop: Shop) -> None:
    await shop.change("UPDATE payment_purchases SET due_at = now() WHERE due_at IS NOT NULL")


async def due(shop: Shop) -> int:
    async with shop.database.transaction() as db:
        return len(await shop.pouch.jobs.due(db))


async def store_paid(shop: Shop) -> UUID:
    """The event that says Alice paid is stored, and its process dies."""
    (body,) = await shop.events("checkout.session.completed")
    event = await shop.pouch.processor.read_event(body, sign(body, WEBHOOK_SECRET))
    async with shop.database.transaction() as db:
        event_id = await events.receive(db, event, shop.pouch.processor.mode)
    assert event_id is not None
    return event_id


async def test_a_purchase_whose_webhook_never_came_is_credited_by_the_sweep(shop: Shop) -> None:
    """Alice paid and closed the window, and the event was lost."""
    purchase = await shop.start()
    await shop.pay(purchase)
    assert await due(shop) == 0, "not before it has had its two minutes"
    await make_due(shop)
    assert await due(shop) == 1
    await shop.pouch.jobs.look_after(purchase.id)
    assert await due(shop) == 0
    await shop.assert_credited_once()


async def test_an_unpaid_purchase_is_looked_at_less_and_less_often(shop: Shop) -> None:
    purchase = await shop.start()
    for age, pause in [("1 second", "2 minutes"), ("10 minutes", "10 minutes"), ("5 hours", "30 minutes")]:
        await shop.change(
            "UPDATE payment_purchases SET due_at = now(), created_at = now() - %s::interval WHERE id = %s",
            age,
            purchase.id,
        )
        await shop.pouch.jobs.look_after(purchase.id)
        assert await shop.count(
            "payment_purchases",
            f"abs(extract(epoch FROM due_at - now() - interval '{pause}')) < 5",
        )
    await shop.change("UPDATE payment_purchases SET due_at = now(), created_at = now() - interval '31 days'")
    await shop.pouch.jobs.look_after(purchase.id)
    assert await shop.count("payment_purchases", "due_at IS NULL") == 1


async def test_a_purchase_that_got_no_page_gets_it_from_the_sweep(shop: Shop) -> None:
    async with FarEnd.before(shop.cards.api_base) as far_end:
        pouch = Pouch(shop.database, api_base=far_end.url, timeout_s=0.3)
        far_end.trouble = "cut"
        purchase = await shop.start(pouch=pouch)
        assert purchase.state == "created"
        await make_due(shop)
        await pouch.jobs.look_after(purchase.id)
        assert (await shop.now(purchase)).state == "created"
        assert await shop.count("payment_purchases", "due_at > now() AND error <> ''") == 1
        far_end.trouble = None
        await make_due(shop)
        await pouch.jobs.look_after(purchase.id)
        await pouch.processor.close()
    assert (await shop.now(purchase)).state == "open"
    assert await shop.count("cards_sessions") == 1
    assert await shop.count("cards_customers") == 1


async def test_an_expired_purchase_is_not_asked_about_any_more(shop: Shop) -> None:
    purchase = await shop.start()
    await shop.change("UPDATE cards_sessions SET expires_at = now()")
    await shop.cards.processor.tend()
    await make_due(shop)
    await shop.pouch.jobs.look_after(purchase.id)
    assert (await shop.now(purchase)).state == "expired"
    await make_due(shop)
    assert await due(shop) == 0


async def test_two_workers_look_after_one_purchase_once(shop: Shop) -> None:
    purchase = await shop.start()
    await shop.pay(purchase)
    await make_due(shop)
    await asyncio.gather(*(shop.pouch.jobs.look_after(purchase.id) for _ in range(5)))
    assert await shop.count("payment_purchases", "attempts = 1") == 1
    await shop.assert_credited_once()


async def test_another_modes_purchases_wait(shop: Shop) -> None:
    await shop.start()
    await shop.change("UPDATE payment_purchases SET mode = 'live', due_at = now()")
    assert await due(shop) == 0


async def test_an_event_whose_process_died_after_storing_it_is_acted_on_by_a_worker(
    shop: Shop, database_url: str
) -> None:
    """The whole way: the bell in the storing transaction, the engine, the handler."""
    await shop.pay(await shop.start())
    await store_paid(shop)
    assert await shop.count("procrastinate_jobs", "task_name = 'payments.event'") == 1
    async with Database(database_url) as database:
        worker = Pouch(database, api_base=shop.cards.api_base)
        inbox, jobs, stop = TellingInbox(database, worker.sync), Jobs(database), asyncio.Event()
        PaymentJobs(database, worker.processor, worker.sync, inbox, worker.refunding).register(jobs)
        working = asyncio.create_task(jobs.run(stop))
        async with asyncio.timeout(30):
            await inbox.is_done.wait()
        stop.set()
        await working
        await worker.processor.close()
    await shop.assert_credited_once()


async def test_an_event_is_due_again_when_the_processor_does_not_answer(shop: Shop) -> None:
    purchase = await shop.start()
    await shop.pay(purchase)
    away = Pouch(shop.database, api_base="http://127.0.0.1:9", timeout_s=0.3)
    (body,) = await shop.events("checkout.session.completed")
    assert await away.post(body, sign(body, WEBHOOK_SECRET)) == 200
    await away.processor.close()
    assert await shop.count("payment_events", "state = 'waiting' AND due_at > now() AND error <> ''") == 1

    await shop.change("UPDATE payment_events SET due_at = now()")
    async with shop.database.transaction() as db:
        (event_id,) = await events.due(db)
    await shop.pouch.inbox.process(event_id)
    assert await shop.count("payment_events", "state = 'done'") == 1
    await shop.assert_credited_once()


async def test_an_event_whose_process_died_is_taken_over_when_its_lease_ends(shop: Shop) -> None:
    await shop.pay(await shop.start())
    event_id = await store_paid(shop)
    await shop.change("UPDATE payment_events SET lease_until = now() + interval '1 minute', epoch = 1")
    await shop.pouch.inbox.process(event_id)
    assert await shop.credits() == 0
    await shop.change("UPDATE payment_events SET lease_until = now() - interval '1 second'")
    await shop.pouch.inbox.process(event_id)
    await shop.assert_credited_once()
