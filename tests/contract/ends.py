"""The far ends that the suite runs against: ours, Stripe's test mode, and emulators as programs of their own."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from contract.bridge import SECRET_KEY as SECRET_KEY_OF_EMULATORS
from pouch.payments.processor import Processor
from support.cards import SECRET_KEY, card_processor

STRIPE_KEY = os.environ.get("POUCH_TEST_STRIPE_KEY", "")


@dataclass(frozen=True, slots=True)
class End:
    """A server that speaks Stripe's API, or a part of it."""

    name: str
    processor: Processor
    api_base: str
    secret_key: str


@asynccontextmanager
async def embedded(database_url: str) -> AsyncIterator[End]:
    """The card processor of a fresh machine."""
    async with card_processor(database_url) as running, _end("embedded", running.api_base, SECRET_KEY) as end:
        yield end


@asynccontextmanager
async def stripe() -> AsyncIterator[End]:
    """Stripe's own test mode. Only keys of it are taken."""
    assert STRIPE_KEY.startswith(("sk_test_", "rk_test_")), "POUCH_TEST_STRIPE_KEY must be a key of test mode"
    async with _end("stripe", "https://api.stripe.com", STRIPE_KEY) as end:
        yield end


@asynccontextmanager
async def end_at(name: str, url: str) -> AsyncIterator[End]:
    """An emulator, without its bridge."""
    async with _end(name, url, SECRET_KEY_OF_EMULATORS) as end:
        yield end


@asynccontextmanager
async def _end(name: str, api_base: str, secret_key: str) -> AsyncIterator[End]:
    processor = Processor(
        kind="stripe", secret_key=secret_key, webhook_secret="whsec_1", api_base=api_base, timeout_s=30
    )
    try:
        yield End(name, processor, api_base, secret_key)
    finally:
        await processor.close()
