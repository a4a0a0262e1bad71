"""The far ends that the suite runs against: ours, Stripe's test mode, and an emulator in a process of its own."""

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from pouch.payments.processor import Processor
from support.cards import SECRET_KEY, card_processor

STRIPE_KEY = os.environ.get("POUCH_TEST_STRIPE_KEY", "")
EMULATORS = os.environ.get("POUCH_TEST_EMULATORS", "")
LOCALSTRIPE = "localstripe==1.15.10"
START_TIMEOUT_S = 60


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
async def localstripe() -> AsyncIterator[End]:
    """localstripe, installed into an environment that is thrown away. It is GPL: nothing of ours imports it."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        python = Path(folder) / "bin" / "python"
        await _run(sys.executable, "-m", "venv", folder)
        await _run(str(python), "-m", "pip", "install", "-q", LOCALSTRIPE)
        port = listener.getsockname()[1]
        listener.close()
        # It has no option for the address and would listen on all; its application is served on loopback instead.
        program = (
            f"import aiohttp.web, localstripe.server as s; aiohttp.web.run_app(s.app, host='127.0.0.1', port={port})"
        )
        process = await asyncio.create_subprocess_exec(str(python), "-c", program)
        try:
            url = f"http://127.0.0.1:{port}"
            await _answers(url)
            async with _end("localstripe", url, "sk_test_localstripe") as end:
                yield end
        finally:
            process.terminate()
            await process.wait()


@asynccontextmanager
async def _end(name: str, api_base: str, secret_key: str) -> AsyncIterator[End]:
    processor = Processor(
        kind="stripe", secret_key=secret_key, webhook_secret="whsec_1", api_base=api_base, timeout_s=30
    )
    try:
        yield End(name, processor, api_base, secret_key)
    finally:
        await processor.close()


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0, command


async def _answers(url: str) -> None:
    async with asyncio.timeout(START_TIMEOUT_S), httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                await client.get(f"{url}/v1/customers")
            except httpx.TransportError:
                await asyncio.sleep(0.1)
            else:
                return
