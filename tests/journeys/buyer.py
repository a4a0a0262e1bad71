"""A person who buys without a browser, and what the card processor then knows of them."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from hmac import new as hmac
from typing import Any
from uuid import uuid4

import httpx

from support.plain import TRUSTS_NOBODY
from support.pouch import RunningPouch

PASSWORD = "correct horse battery"


class Buyer:
    """Signed in over plain HTTP. Redirects are followed only where a method says so."""

    def __init__(self, pouch: RunningPouch, client: httpx.AsyncClient, email: str) -> None:
        self.pouch = pouch
        self.client = client
        self.email = email

    async def start(self, usd: str = "10", attempt: str | None = None) -> str:
        """Ask for credits: where the browser is sent, which is the payment page."""
        form = {"amount_usd": usd, "attempt": attempt or str(uuid4())}
        answer = await self.client.post("/billing/purchases", data=form)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    async def pay(self, page: str, number: str = "4242424242424242") -> str:
        """Post the payment page's form: where the browser is sent. The page behind it is not opened."""
        form = {"number": number, "expiration": "12/34", "cvc": "123"}
        answer = await self.client.post(page, data=form)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    async def visit(self, address: str) -> str:
        """Open a page of ours: its text."""
        answer = await self.client.get(address)
        assert answer.status_code == 200, answer.text
        return answer.text

    async def events(self, kind: str) -> list[dict[str, Any]]:
        """What the processor has to tell about this person."""
        listed = await self._ask("/events", type=kind, limit="100")
        customers = await self._customers()
        return [each for each in listed if each["data"]["object"]["customer"] in customers]

    async def sessions(self) -> list[dict[str, Any]]:
        """This person's payment pages, as the processor knows them."""
        return [each for one in await self._customers() for each in await self._ask("/checkout/sessions", customer=one)]

    async def paid_cents(self) -> list[int]:
        """The charges of this person's card that succeeded."""
        charges = [each for one in await self._customers() for each in await self._ask("/charges", customer=one)]
        return [each["amount"] for each in charges if each["status"] == "succeeded"]

    async def _customers(self) -> list[str]:
        return [each["id"] for each in await self._ask("/customers", email=self.email)]

    async def _ask(self, path: str, **parameters: str) -> list[dict[str, Any]]:
        headers = {"authorization": f"Bearer {self.pouch.ends.stripe_secret_key}"}
        answer = await self.client.get(f"/embedded/cards/v1{path}", params=parameters, headers=headers)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]
        return found


@asynccontextmanager
async def buyer(pouch: RunningPouch, email: str) -> AsyncIterator[Buyer]:
    """Register a verified person and sign them in."""
    pouch.does("user", "add", email, "--password-stdin", input=PASSWORD)
    async with httpx.AsyncClient(
        base_url=pouch.url, headers={"origin": pouch.url}, timeout=60, verify=TRUSTS_NOBODY, trust_env=False
    ) as client:
        answer = await client.post("/sign-in", data={"email": email, "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        yield Buyer(pouch, client, email)


def signed(event: dict[str, Any], secret: str) -> tuple[bytes, dict[str, str]]:
    """An event as Stripe sends it: body, and headers with its signature."""
    body, moment = json.dumps(event).encode(), int(time.time())
    signature = hmac(secret.encode(), f"{moment}.".encode() + body, sha256).hexdigest()
    return body, {"stripe-signature": f"t={moment},v1={signature}", "content-type": "application/json"}
