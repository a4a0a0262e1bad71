"""What arrives at /webhooks/stripe: believed only when signed, kept once, acted on once."""

import asyncio
import hashlib
import hmac
import json
import socket
import time

import pytest
from starlette.applications import Starlette

from payments.shop import OpenShop, Pouch, Shop, TellingInbox
from pouch.embedded.cards.delivery import sign
from pouch.payments.purchases import pending_total
from pouch.payments.webhooks import BODY_BYTES_MAX, Webhooks
from support.cards import WEBHOOK_SECRET, serving

pytestmark = pytest.mark.anyio

PAID = "checkout.session.completed"


async def paid_event(shop: Shop) -> bytes:
    """Alice has paid; the event that says so is on its way."""
    await shop.pay(await shop.start())
    (body,) = await shop.events(PAID)
    return body


def signed_at(body: bytes, moment: int, secret: str = WEBHOOK_SECRET) -> str:
    return f"t={moment},v1={hmac.new(secret.encode(), f'{moment}.'.encode() + body, hashlib.sha256).hexdigest()}"


async def test_a_paid_session_credits_as_soon_as_its_event_arrives(shop: Shop) -> None:
    """No worker runs: the receiving process itself acts on it, after its answer."""
    body = await paid_event(shop)
    assert await shop.pouch.post(body, sign(body, WEBHOOK_SECRET)) == 200
    await shop.assert_credited_once()
    assert await shop.count("payment_events", "state = 'done'") == 1


async def test_a_forged_event_credits_nothing_and_leaves_no_row(shop: Shop) -> None:
    body = await paid_event(shop)
    now = int(time.time())
    forgeries: list[tuple[bytes, str | None]] = [
        (body, None),
        (body, ""),
        (body, "t=,v1="),
        (body, "nonsense"),
        (body, f"t={now}"),
        (body, f"t={now},v1=0000"),
        (body, f"t={now},v1=é"),
        (body, signed_at(body, now, secret="whsec_wrong")),
        (body, signed_at(body, now - 301)),
        (body, signed_at(body, now).replace("v1=", "v0=")),
        (body.replace(b'"livemode":false', b'"livemode":true '), signed_at(body, now)),
        (body + b" ", signed_at(body, now)),
        (b"", signed_at(body, now)),
        (b"\xff\xfe", signed_at(b"\xff\xfe", now)),
        (b"{}", signed_at(b"{}", now)),
        (b"[1]", signed_at(b"[1]", now)),
        (b"no JSON", signed_at(b"no JSON", now)),
    ]
    assert [await shop.pouch.post(*forgery) for forgery in forgeries] == [400] * len(forgeries)
    assert await shop.count("payment_events") == 0
    assert await shop.credits() == 0


async def test_one_right_signature_of_several_is_enough(shop: Shop) -> None:
    """While the secret is being changed, the processor signs with the old one and the new one."""
    body = await paid_event(shop)
    moment = int(time.time())
    right = signed_at(body, moment).partition(",")[2]
    assert await shop.pouch.post(body, f"t={moment},v1=00,{right},v0=11") == 200
    await shop.assert_credited_once()


async def test_the_same_webhook_fifty_times_at_once_credits_once(shop: Shop) -> None:
    body = await paid_event(shop)
    answers = await asyncio.gather(*(shop.pouch.post(body, sign(body, WEBHOOK_SECRET)) for _ in range(50)))
    assert set(answers) == {200}
    assert await shop.count("payment_events") == 1
    await shop.assert_credited_once()


@pytest.mark.parametrize("returns", ["before", "during", "after"])
async def test_webhooks_and_the_return_page_credit_once_in_any_order(shop: Shop, returns: str) -> None:
    """Stories 1 and 12: fifty webhooks, of two types, and the buyer's return."""
    purchase = await shop.start()
    await shop.pay(purchase)
    bodies = [*await shop.events(PAID), *await shop.events("payment_intent.succeeded")]
    webhooks = [shop.pouch.post(body, sign(body, WEBHOOK_SECRET)) for body in bodies for _ in range(25)]
    if returns == "before":
        assert (await shop.pouch.sync.purchase(purchase.id)).state == "credited"
    also = [shop.pouch.sync.purchase(purchase.id) for _ in range(5)] if returns == "during" else []
    await asyncio.gather(*webhooks, *also)
    if returns == "after":
        assert (await shop.pouch.sync.purchase(purchase.id)).state == "credited"
    await shop.assert_credited_once()


async def test_events_in_reverse_order_credit_once(shop: Shop) -> None:
    await shop.pay(await shop.start())
    for body in reversed(await shop.events()):
        assert await shop.pouch.post(body, sign(body, WEBHOOK_SECRET)) == 200
    await shop.assert_credited_once()


async def test_an_event_says_only_where_to_look(shop: Shop) -> None:
    """Signed by the right secret, it claims that an unpaid session is paid."""
    await shop.start()
    await shop.pay(await shop.start(attempt="other"))
    (body,) = await shop.events(PAID)
    event = json.loads(body)
    unpaid = (await shop.start()).session_id
    event["data"]["object"]["id"] = unpaid
    lie = json.dumps(event).encode()
    assert await shop.pouch.post(lie, sign(lie, WEBHOOK_SECRET)) == 200
    assert await shop.credits() == 0


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"livemode": True}, "live mode"),
        ({"account": "acct_other"}, "another account"),
        ({"data": {"object": {"id": "cs_test_unknown", "object": "checkout.session"}}}, "nothing of this"),
        ({"data": {"object": {"id": "pi_unknown", "object": "payment_intent"}}}, "nothing of this"),
    ],
)
async def test_an_event_about_nothing_of_ours_is_kept_flagged_and_answered(
    shop: Shop, change: dict[str, object], note: str
) -> None:
    body = json.dumps({**json.loads(await paid_event(shop)), **change}).encode()
    assert await shop.pouch.post(body, sign(body, WEBHOOK_SECRET)) == 200
    assert await shop.count("payment_events", f"state = 'flagged' AND note LIKE '%{note}%'") == 1
    assert await shop.credits() == 0


async def test_an_event_of_a_type_we_do_not_know_is_kept_and_left_alone(shop: Shop) -> None:
    """The balance has no id, and nothing about it is wrong."""
    event = json.loads(await paid_event(shop))
    event |= {"type": "balance.available", "data": {"object": {"object": "balance", "livemode": False}}}
    body = json.dumps(event).encode()
    assert await shop.pouch.post(body, sign(body, WEBHOOK_SECRET)) == 200
    assert await shop.count("payment_events", "state = 'done' AND object_id = ''") == 1


async def test_a_session_of_another_shop_on_the_same_account_is_flagged(shop: Shop) -> None:
    await shop.pay(await shop.start())
    await shop.change("UPDATE cards_sessions SET client_reference_id = 'order-17'")
    await shop.deliver(PAID)
    assert await shop.count("payment_events", "state = 'flagged'") == 1
    assert await shop.credits() == 0


async def test_too_long_a_body_is_refused_unread(shop: Shop) -> None:
    body = b" " * (BODY_BYTES_MAX + 1)
    assert await shop.pouch.post(body, sign(body, WEBHOOK_SECRET)) == 413


async def test_what_cannot_be_stored_is_answered_so_that_it_is_sent_again(shop: Shop) -> None:
    body = await paid_event(shop)
    await shop.change("ALTER TABLE payment_events RENAME TO away")
    assert await shop.pouch.post(body, sign(body, WEBHOOK_SECRET)) == 500
    await shop.change("ALTER TABLE away RENAME TO payment_events")
    assert await shop.pouch.post(body, sign(body, WEBHOOK_SECRET)) == 200
    await shop.assert_credited_once()


async def test_a_payment_that_takes_days_is_pending_and_then_credited(open_shop: OpenShop) -> None:
    async with open_shop(settle_after_s=3600) as shop:
        purchase = await shop.start()
        await shop.pay(purchase, number="000123456789")
        await shop.deliver(PAID)
        assert (await shop.now(purchase)).state == "processing"
        async with shop.database.transaction() as db:
            assert await pending_total(db, shop.alice) == purchase.amount
        assert await shop.credits() == 0

        await shop.change("UPDATE cards_intents SET settle_at = now()")
        await shop.cards.processor.tend()
        await shop.deliver("checkout.session.async_payment_succeeded")
        await shop.assert_credited_once()


async def test_over_the_wire_with_every_event_twice_and_backwards_one_credit(shop: Shop) -> None:
    """The processor's own deliveries, through a real server, shuffled and repeated."""
    inbox = TellingInbox(shop.database, shop.pouch.sync)
    app = Starlette(routes=Webhooks(shop.database, shop.pouch.processor, inbox).routes())
    shop.cards.faults.duplicate = 1
    shop.cards.faults.reorder = True
    purchase = await shop.start()
    await shop.pay(purchase)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with serving(app, listener) as url, asyncio.timeout(30):
            shop.cards.listen(f"{url}/webhooks/stripe")
            while (await shop.now(purchase)).state != "credited":
                await inbox.is_done.wait()
                inbox.is_done.clear()
            await shop.cards.processor.deliveries.deliver_due()
            shop.cards.listen(None)
    await shop.assert_credited_once()


async def test_two_processes_share_one_event(shop: Shop) -> None:
    """`serve` acts on it after its answer, a worker because the bell rang: one of them does."""
    body = await paid_event(shop)
    other = Pouch(shop.database, api_base=shop.cards.api_base)
    await asyncio.gather(*(pouch.post(body, sign(body, WEBHOOK_SECRET)) for pouch in (shop.pouch, other)))
    await other.processor.close()
    assert await shop.count("payment_events", "attempts = 1") == 1
    await shop.assert_credited_once()
