"""A card processor that really listens: Stripe's protocol on a loopback port, with play money."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import stripe
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp
from stripe.checkout import Session

from pouch.base.clock import Clock, system_clock
from pouch.base.database import Connection, Database
from pouch.embedded.cards.app import CardProcessor
from pouch.embedded.cards.faults import Faults
from pouch.embedded.cards.place import Desk, Place
from support.plain import TRUSTS_NOBODY

MOUNTED_AT = "/embedded/cards"
SECRET_KEY = "sk_test_fixture"
WEBHOOK_SECRET = "whsec_fixture"

uses_sdk = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
"""For tests that call the SDK over httpx: it passes bytes in a way that httpx is giving up."""


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """Where the hosted page led. `location` is set when it sent the buyer away."""

    status: int
    location: str | None
    text: str


class RunningProcessor:
    """One running processor, and a buyer who can use its hosted page."""

    secret_key = SECRET_KEY
    webhook_secret = WEBHOOK_SECRET

    def __init__(self, processor: CardProcessor, place: Place, url: str, browser: httpx.AsyncClient) -> None:
        self.processor = processor
        self.place = place
        self.api_base = url
        self.browser = browser

    @property
    def faults(self) -> Faults:
        """Switches that may be changed at any time."""
        return self.processor.faults

    def desk(self, db: Connection) -> Desk:
        """For what a bank does, without any request."""
        return Desk(db, datetime.now(UTC), self.place)

    def listen(self, webhook_url: str | None) -> None:
        """Say where events go, once it is known."""
        self.processor.deliveries.webhook_url = webhook_url

    async def deliver_once(self) -> None:
        """Let every event that is due be tried now, whatever the loop is doing."""
        await self.processor.deliveries.deliver_due()

    @asynccontextmanager
    async def client(self, *, max_network_retries: int = 0) -> AsyncIterator[stripe.StripeClient]:
        """The official SDK, pointed here."""
        transport = stripe.HTTPXClient()
        try:
            yield stripe.StripeClient(
                self.secret_key,
                base_addresses={"api": self.api_base},
                http_client=transport,
                max_network_retries=max_network_retries,
            )
        finally:
            await transport.close_async()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped

    async def pay(
        self,
        session: str,
        *,
        number: str = "4242424242424242",
        expiration: str = "12 / 34",
        cvc: str = "123",
        authentication: str | None = "complete",
    ) -> PageAnswer:
        """Type a card on the hosted page of a session (its id or URL) and press Pay; answer the bank when it asks.

        `authentication` is "complete", "fail", or None to leave at the bank's question.
        """
        url = session if "/" in session else f"{self.api_base}/pay/{session}"
        answer = await self._post(url, {"number": number, "expiration": expiration, "cvc": cvc})
        if authentication is not None and "Complete authentication" in answer.text:
            answer = await self._post(f"{url}/authentication", {"outcome": authentication})
        return answer

    async def show(self, session: str) -> PageAnswer:
        """Open the hosted page."""
        url = session if "/" in session else f"{self.api_base}/pay/{session}"
        return _answer(await self.browser.get(url))

    async def _post(self, url: str, form: dict[str, str]) -> PageAnswer:
        response = await self.browser.post(url, data=form)
        # The page may lead back to itself, to show the form or the bank's question; that much a browser follows.
        if response.status_code == 303 and response.headers["location"].startswith("/"):
            response = await self.browser.get(httpx.URL(url).join(response.headers["location"]))
        return _answer(response)


@asynccontextmanager
async def card_processor(
    database_url: str,
    *,
    webhook_url: str | None = None,
    clock: Clock = system_clock,
    retry_delays_s: Sequence[float] = (0.02,),
    settle_after_s: float = 0,
    duplicate: int = 0,
    delay_s: float = 0,
    drop: bool = False,
    reorder: bool = False,
    break_answers: int = 0,
    lose_answers: int = 0,
    delivers: bool = True,
) -> AsyncIterator[RunningProcessor]:
    """Start a processor on a free port against a migrated database.

    Unless it `delivers`, nothing happens by itself: `deliver_once` and `processor.tend` do what time would.
    """
    faults = Faults(
        duplicate=duplicate,
        delay_s=delay_s,
        drop=drop,
        reorder=reorder,
        break_answers=break_answers,
        lose_answers=lose_answers,
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}{MOUNTED_AT}"
        async with (
            Database(database_url, name="cards-test") as database,
            httpx.AsyncClient(verify=TRUSTS_NOBODY, trust_env=False) as browser,
        ):
            place = Place(
                secret_key=SECRET_KEY,
                webhook_secret=WEBHOOK_SECRET,
                webhook_url=webhook_url,
                pages_url=url,
                retry_delays_s=retry_delays_s,
                settle_after_s=settle_after_s,
            )
            processor = CardProcessor(database, place, clock=clock, faults=faults)
            mounted = Starlette(routes=[Mount(MOUNTED_AT, processor.app)])
            async with running(processor) if delivers else processor.deliveries, serving(mounted, listener):
                yield RunningProcessor(processor, place, url, browser)


@asynccontextmanager
async def running(processor: CardProcessor) -> AsyncIterator[None]:
    """Keep the loops of a processor running."""
    loop = asyncio.create_task(processor.run())
    try:
        yield
    finally:
        loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loop


@asynccontextmanager
async def serving(app: ASGIApp, listener: socket.socket) -> AsyncIterator[str]:
    """Serve an application on a socket that is already bound; gives its address."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=2))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


class Webhook:
    """A webhook that keeps what it gets. `statuses` are its next answers; after them it says 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.url = ""
        self.posts: asyncio.Queue[tuple[bytes, str]] = asyncio.Queue()

    async def event(self, type_: str) -> stripe.Event:
        """The next event of this type, its signature checked; others on the way are checked and passed over."""
        while True:
            event = await self.next()
            if event.type == type_:
                return event

    async def next(self) -> stripe.Event:
        """The next event, its signature checked by the SDK."""
        body, signature = await asyncio.wait_for(self.posts.get(), 10)
        event: stripe.Event = stripe.Webhook.construct_event(body, signature, WEBHOOK_SECRET)
        return event

    async def receive(self, request: Request) -> Response:
        self.posts.put_nowait((await request.body(), request.headers["stripe-signature"]))
        return Response(status_code=self.statuses.pop(0) if self.statuses else 200)


@asynccontextmanager
async def webhook() -> AsyncIterator[Webhook]:
    """Start a webhook on a free port."""
    receiver = Webhook()
    app = Starlette(routes=[Route("/webhooks/stripe", receiver.receive, methods=["POST"])])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with serving(app, listener) as url:
            receiver.url = f"{url}/webhooks/stripe"
            yield receiver


async def open_session(client: stripe.StripeClient, cents: int = 1000, **more: Any) -> Session:
    """A checkout session for credits worth so many cents."""
    params: Any = {
        "mode": "payment",
        "line_items": [
            {
                "quantity": 1,
                "price_data": {"currency": "usd", "unit_amount": cents, "product_data": {"name": "Credits"}},
            }
        ],
        "success_url": "http://127.0.0.1/back?session={CHECKOUT_SESSION_ID}",
        "cancel_url": "http://127.0.0.1/billing",
        **more,
    }
    return await client.v1.checkout.sessions.create_async(params)


def _answer(response: httpx.Response) -> PageAnswer:
    return PageAnswer(response.status_code, response.headers.get("location"), response.text)


def problem_on(page: PageAnswer) -> str | None:
    """What the hosted page complains about."""
    found = re.search(r'role="alert">([^<]*)<', page.text)
    return found[1].replace("&#39;", "'") if found else None
