"""Bringing events to Pouch's webhook: signed, at least once, tried again with growing pauses for three days."""

import hashlib
import hmac
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

import orjson
import structlog
from psycopg.rows import class_row
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError

from pouch.base.clock import Clock
from pouch.base.database import Connection, Database
from pouch.embedded.cards.faults import Faults
from pouch.embedded.cards.place import Place
from pouch.embedded.cards.shapes import show_event
from pouch.embedded.cards.types import Event, Json

TIMEOUT = timedelta(seconds=10)
LEASE = timedelta(seconds=60)
GIVE_UP_AFTER = timedelta(days=3)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One claimed try. `attempts` is its fence: a try that outlived its lease changes nothing."""

    id: str
    created_at: datetime
    type: str
    object: Json
    attempts: int

    @property
    def payload(self) -> bytes:
        """The body that is signed and sent."""
        event = Event(id=self.id, created_at=self.created_at, type=self.type, object=self.object)
        return orjson.dumps(show_event(event, pending_webhooks=1))


class Deliveries:
    """Claims due events one by one and posts them. Any number of these may run on one database."""

    def __init__(
        self,
        database: Database,
        place: Place,
        *,
        clock: Clock,
        faults: Faults,
    ) -> None:
        self.webhook_url = place.webhook_url
        """Where events go. None: nobody listens, and they wait."""
        self._database = database
        self._secret = place.webhook_secret
        self._clock = clock
        self._faults = faults
        self._retry_delays_s = place.retry_delays_s
        self._client: Client | None = None

    async def __aenter__(self) -> Self:
        # No proxy: the webhook is on this machine.
        self._client = ClientBuilder().no_proxy().follow_redirects(False).timeout(TIMEOUT).build()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()

    async def deliver_due(self) -> None:
        """Post every event that is due now. What fails becomes due again later."""
        while self.webhook_url is not None:
            is_dropped = self._faults.drop
            async with self._database.transaction() as db:
                delivery = await self._claim(db)
            if delivery is None:
                return
            arrived = not is_dropped and await self._post(self.webhook_url, delivery)
            async with self._database.transaction() as db:
                await self._finish(db, delivery, arrived=arrived, is_over=arrived or is_dropped)

    async def _claim(self, db: Connection) -> Delivery | None:
        now = self._clock()
        cursor = db.cursor(row_factory=class_row(Delivery))
        await cursor.execute(
            f"""
            UPDATE cards_deliveries d
               SET attempts = d.attempts + 1, lease_until = %(lease_until)s
              FROM cards_events e
             WHERE e.id = d.event_id
               AND d.event_id = (
                    SELECT event_id FROM cards_deliveries
                     WHERE due_at <= %(due_before)s AND (lease_until IS NULL OR lease_until < %(now)s)
                     ORDER BY event_seq {"DESC" if self._faults.reorder else "ASC"}
                     LIMIT 1 FOR UPDATE SKIP LOCKED
               )
            RETURNING e.id, e.created_at, e.type, e.object, d.attempts
            """,
            {"now": now, "due_before": now - timedelta(seconds=self._faults.delay_s), "lease_until": now + LEASE},
        )
        return await cursor.fetchone()

    async def _post(self, url: str, delivery: Delivery) -> bool:
        assert self._client is not None, "enter the context first"
        arrived = True
        for _ in range(1 + self._faults.duplicate):
            payload = delivery.payload
            request = (
                self._client.post(url).body_bytes(payload).header("content-type", "application/json; charset=utf-8")
            )
            try:
                response = await request.header("stripe-signature", sign(payload, self._secret)).build().send()
            except PyreqwestError as error:
                log.info(
                    "cards.webhook_unreachable", event_id=delivery.id, attempts=delivery.attempts, reason=str(error)
                )
                return False
            if not 200 <= response.status < 300:
                log.info(
                    "cards.webhook_refused", event_id=delivery.id, attempts=delivery.attempts, status=response.status
                )
                arrived = False
        return arrived

    async def _finish(self, db: Connection, delivery: Delivery, *, arrived: bool, is_over: bool) -> None:
        now = self._clock()
        delay_s = self._retry_delays_s[min(delivery.attempts, len(self._retry_delays_s)) - 1]
        is_over = is_over or now - delivery.created_at > GIVE_UP_AFTER
        await db.execute(
            """
            UPDATE cards_deliveries SET lease_until = NULL, due_at = %s, delivered_at = %s
             WHERE event_id = %s AND attempts = %s
            """,
            (
                None if is_over else now + timedelta(seconds=delay_s),
                now if arrived else None,
                delivery.id,
                delivery.attempts,
            ),
        )


def sign(payload: bytes, secret: str) -> str:
    """The Stripe-Signature header. Its time is the machine's, because the receiver compares it with that."""
    moment = int(time.time())
    signature = hmac.new(secret.encode(), f"{moment}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={moment},v1={signature}"
