"""The stripe SDK with our HTTP client under it. Import it late: it takes a third of a second."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from urllib.parse import urlsplit

import stripe
from pyreqwest.client import ClientBuilder
from pyreqwest.exceptions import PyreqwestError

from pouch.payments.errors import (
    CardDeclined,
    KeyNotTaken,
    KeyReused,
    NoSuchObject,
    NotSigned,
    ProcessorRefused,
    ProcessorSilent,
)
from pouch.payments.types import Event
from pouch.settings import is_loopback_host

API_VERSION = "2026-10-28.endive"
"""The version whose objects `types` describes, whatever the account's default or a newer SDK's is."""
RETRIES = 1
"""One lost connection is mended at once, with the same key; the sweep mends anything longer, while nobody waits."""
SIGNATURE_AGE_S_MAX = 300
CONNECT_TIMEOUT_S = 4.0
CONNECTIONS_MAX = 20
POOL_IDLE_S = 30
"""Shorter than what load balancers keep, so that a request seldom meets a connection that is being closed."""

T = TypeVar("T")
# The SDK's own constructor is not annotated.
_lost: Callable[..., stripe.APIConnectionError] = stripe.APIConnectionError

# Telemetry would send timings with each request and keep an id in the operator's home folder.
stripe.enable_telemetry = False


class Sdk:
    """One account at one server that speaks Stripe's API."""

    def __init__(self, *, secret_key: str, webhook_secret: str | None, api_base: str, timeout_s: float) -> None:
        self._webhook_secret = webhook_secret
        self._transport = Transport(api_base, timeout_s)
        self._client = stripe.StripeClient(
            secret_key,
            base_addresses={"api": api_base},
            stripe_version=API_VERSION,
            max_network_retries=RETRIES,
            http_client=self._transport,
        )

    async def ask(self, call: Callable[[stripe.StripeClient], Awaitable[T]]) -> T:
        """Make one request. Raises ProcessorSilent when the outcome is unknown, ProcessorRefused for a definite no."""
        try:
            return await call(self._client)
        except stripe.StripeError as error:
            raise _translated(error) from error

    def read_event(self, body: bytes, signature: str) -> Event:
        """Check the signature over the raw bytes, and only then read them. Raises NotSigned."""
        try:
            # The SDK compares signatures as text, which Python does for ASCII only.
            signature.encode("ascii")
            event = self._client.construct_event(body, signature, self._webhook_secret, SIGNATURE_AGE_S_MAX)
            return Event(
                id=str(event.id),
                type=str(event.type),
                # Some events are about things without an id, such as the balance.
                object_id=str(getattr(event.data.object, "id", None) or ""),
                account=str(getattr(event, "account", None) or ""),
                livemode=bool(event.livemode),
                occurred_at=datetime.fromtimestamp(event.created, UTC),
            )
        except (
            stripe.SignatureVerificationError,
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            OverflowError,
        ) as error:
            raise NotSigned("This is not an event signed by the card processor.") from error

    async def close(self) -> None:
        """Give the connections back."""
        await self._transport.close_async()


class Transport(stripe.HTTPClient):
    """The SDK's way to the network. A request answers within `timeout_s` or raises APIConnectionError."""

    name = "pyreqwest"

    def __init__(self, api_base: str, timeout_s: float) -> None:
        super().__init__()
        builder = (
            ClientBuilder()
            .connect_timeout(timedelta(seconds=min(CONNECT_TIMEOUT_S, timeout_s)))
            .timeout(timedelta(seconds=timeout_s))
            .max_connections(CONNECTIONS_MAX)
            .pool_timeout(timedelta(seconds=timeout_s))
            .pool_idle_timeout(timedelta(seconds=POOL_IDLE_S))
            .follow_redirects(enable=False)
        )
        # A company's proxy cannot reach this machine's loopback.
        self._client = (builder.no_proxy() if is_loopback_host(urlsplit(api_base).hostname or "") else builder).build()

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: str | None = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Send once. Whether to send again is the SDK's decision."""
        request = self._client.request(method.upper(), url).headers(headers)
        try:
            response = await (request if post_data is None else request.body_text(post_data)).build().send()
            return bytes(await response.bytes()), response.status, response.headers
        except (PyreqwestError, OSError) as error:
            raise _lost(f"{type(error).__name__}: {error}", should_retry=True) from error

    def sleep_async(self, secs: float) -> Awaitable[None]:
        """Wait between two tries of the SDK."""
        return asyncio.sleep(secs)

    async def close_async(self) -> None:
        """Give the connections back."""
        await self._client.close()


def _translated(error: stripe.StripeError) -> ProcessorRefused | ProcessorSilent:
    match error:
        case stripe.IdempotencyError():
            return KeyReused(str(error))
        case stripe.InvalidRequestError(code="resource_missing"):
            return NoSuchObject(str(error), param=error.param)
        case stripe.CardError():
            payment = error.error.payment_intent if error.error is not None else None
            return CardDeclined(str(error), payment_id=str(payment.id) if payment is not None else None)
        case stripe.InvalidRequestError():
            return ProcessorRefused(str(error), param=error.param)
        case stripe.AuthenticationError() | stripe.PermissionError():
            # Said before the idempotency key is looked at: it knows nothing of an earlier try.
            return KeyNotTaken(str(error))
        case _:
            # Connection lost, timeout, 429, 5xx, another request with the same key under way, an answer that is no
            # JSON: it may have happened.
            return ProcessorSilent(str(error))
