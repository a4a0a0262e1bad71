"""What the processor does by itself, and what it never keeps."""

from datetime import UTC, datetime, timedelta

import pytest
from psycopg import AsyncConnection

from pouch.embedded.cards.cards import CARDS
from support.cards import card_processor, open_session, uses_sdk, webhook

pytestmark = [pytest.mark.anyio, uses_sdk]


async def test_a_session_expires_with_its_payment_and_says_so(database_url: str) -> None:
    now = datetime.now(UTC)
    async with (
        webhook() as hook,
        card_processor(database_url, webhook_url=hook.url, clock=lambda: now) as processor,
        processor.client() as client,
    ):
        session = await open_session(client, expires_at=int((now + timedelta(minutes=30)).timestamp()))
        await processor.pay(session.id, number="4000000000009995")
        now += timedelta(minutes=31)
        await processor.processor.tend()
        event = await hook.event("checkout.session.expired")
        assert event.data.object["id"] == session.id
        expired = await client.v1.checkout.sessions.retrieve_async(session.id, {"expand": ["payment_intent"]})
        assert (expired.status, expired.payment_status) == ("expired", "unpaid")
        assert expired.payment_intent.status == "canceled"  # type: ignore[union-attr]  # expanded
        await processor.processor.tend()
        assert len((await client.v1.events.list_async({"type": "checkout.session.expired"})).data) == 1


async def test_no_card_number_is_kept_anywhere(database_url: str) -> None:
    """Every card is used, and a number that could be real is typed; then every column of every table is searched."""
    real = "4111111111111111"
    async with card_processor(database_url) as processor, processor.client() as client:
        session = await open_session(client, payment_intent_data={"setup_future_usage": "off_session"})
        await processor.pay(session.id, number=real)
        for card in CARDS:
            session = await open_session(client, payment_intent_data={"setup_future_usage": "off_session"})
            cvc = "9876"[: card.cvc_length]
            page = await processor.pay(session.id, number=card.number, cvc=cvc, expiration="11 / 34")
            assert (page.location is None) == (card.declined is not None)
    written = await everything(database_url)
    assert "insufficient_funds" in written
    for number in (real, *(card.number for card in CARDS)):
        assert number not in written
        assert number[:-4] not in written.replace(" ", "")


async def everything(database_url: str) -> str:
    """Every row of every table, as text."""
    texts = []
    async with await AsyncConnection.connect(database_url) as db:
        tables = await db.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (table,) in await tables.fetchall():
            rows = await db.execute(f'SELECT t::text FROM "{table}" t')
            texts += [str(row[0]) for row in await rows.fetchall()]
    return "\n".join(texts)
