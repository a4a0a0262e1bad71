"""What stands between Pouch and an emulator, and makes up for what that one lacks.

A bridge speaks Stripe's API on one side and the emulator's on the other. It decides nothing: amounts, states, cards and
the banks' answers are the emulator's. docs/card-processors.md lists what each bridge does, and `test_lacks.py` shows of
each thing that the emulator alone does not do it.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

SECRET_KEY = "sk_test_of_the_emulators"
Document = dict[str, Any]


class Bridge:
    """Passes everything on as it is. The bridges below do more."""

    def __init__(self, emulator: str, client: httpx.AsyncClient) -> None:
        self.emulator = emulator
        self._client = client
        self.app = Starlette(routes=[*self.routes(), Route("/{path:path}", self.forward, methods=["GET", "POST"])])

    def routes(self) -> list[BaseRoute]:
        """What is not passed on as it is."""
        return []

    async def ask(self, method: str, path: str, document: Document | None = None) -> Document:
        """One request to the emulator that must succeed."""
        answer = await self.try_asking(method, path, document)
        assert answer.is_success, answer.text
        found: Document = answer.json()
        return found

    async def try_asking(self, method: str, path: str, document: Document | None = None) -> httpx.Response:
        """One request to the emulator."""
        headers = {"authorization": f"Bearer {SECRET_KEY}"}
        return await self._client.request(method, f"{self.emulator}{path}", json=document, headers=headers)

    async def forward(self, request: Request) -> Response:
        """Pass it on as it is."""
        headers = {name: value for name, value in request.headers.items() if name in {"authorization", "content-type"}}
        answer = await self._client.request(
            request.method,
            f"{self.emulator}{request.url.path}",
            params=request.query_params,
            content=await request.body(),
            headers=headers,
        )
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))


class EmulateBridge(Bridge):
    """Checkout with prices that are said on the spot, and a payment behind each session that was paid."""

    def __init__(self, emulator: str, client: httpx.AsyncClient) -> None:
        super().__init__(emulator, client)
        self._prices: dict[str, list[str]] = {}
        self._payments: dict[str, Document] = {}

    def routes(self) -> list[BaseRoute]:
        """What is not passed on as it is."""
        return [
            Route("/v1/checkout/sessions", self.make, methods=["POST"]),
            Route("/v1/checkout/sessions", self.list_of_payment, methods=["GET"]),
            Route("/v1/checkout/sessions/{id}", self.show, methods=["GET"]),
            Route("/v1/payment_intents/{id}", self.payment, methods=["GET"]),
        ]

    async def make(self, request: Request) -> Response:
        """Each line becomes a product and a price of the emulator's, and the session is made with these."""
        wanted = nested(await request.body())
        prices = []
        for line in wanted.pop("line_items").values():
            said = line["price_data"]
            product = await self.ask("POST", "/v1/products", {"name": said["product_data"]["name"]})
            price = {"product": product["id"], "currency": said["currency"], "unit_amount": int(said["unit_amount"])}
            prices.append((await self.ask("POST", "/v1/prices", price))["id"])
        session = await self.ask(
            "POST",
            "/v1/checkout/sessions",
            {
                **{name: wanted[name] for name in ("mode", "customer", "success_url", "cancel_url", "metadata")},
                "line_items": [{"price": price, "quantity": 1} for price in prices],
            },
        )
        self._prices[session["id"]] = prices
        return JSONResponse(await self._whole(session))

    async def show(self, request: Request) -> Response:
        """A session with its total, its reference and, once it was paid, its payment."""
        answer = await self.try_asking("GET", request.url.path)
        if not answer.is_success:
            return Response(answer.content, answer.status_code, media_type="application/json")
        return JSONResponse(await self._whole(answer.json()))

    async def list_of_payment(self, request: Request) -> Response:
        """The session that a payment belongs to."""
        wanted = request.query_params.get("payment_intent")
        ids = [id_ for id_, payment in self._payments.items() if payment["id"] == wanted]
        found = [await self._whole(await self.ask("GET", f"/v1/checkout/sessions/{id_}")) for id_ in ids]
        return JSONResponse({"object": "list", "data": found, "has_more": False, "url": request.url.path})

    async def payment(self, request: Request) -> Response:
        """A payment with what was received."""
        return JSONResponse(received(await self.ask("GET", request.url.path)))

    async def _whole(self, session: Document) -> Document:
        prices = [await self.ask("GET", f"/v1/prices/{id_}") for id_ in self._prices[session["id"]]]
        total = sum(price["unit_amount"] for price in prices)
        if session["payment_status"] == "paid" and session["id"] not in self._payments:
            self._payments[session["id"]] = await self._pay(session, total)
        return {
            **session,
            "client_reference_id": session["metadata"]["purchase"],
            "amount_total": total,
            "payment_intent": self._payments.get(session["id"]),
        }

    async def _pay(self, session: Document, total: int) -> Document:
        wanted = {"amount": total, "currency": "usd", "customer": session["customer"], "metadata": session["metadata"]}
        made = await self.ask("POST", "/v1/payment_intents", wanted)
        return received(await self.ask("POST", f"/v1/payment_intents/{made['id']}/confirm", {}))


class LocalstripeBridge(Bridge):
    """Pages on which a card is typed, in front of SetupIntents and PaymentIntents; and errors as Stripe words them."""

    def __init__(self, emulator: str, client: httpx.AsyncClient) -> None:
        super().__init__(emulator, client)
        self.sessions: dict[str, Document] = {}

    def routes(self) -> list[BaseRoute]:
        """What is not passed on as it is."""
        return [
            Route("/v1/checkout/sessions", self.make, methods=["POST"]),
            Route("/v1/checkout/sessions", self.list_of_payment, methods=["GET"]),
            Route("/v1/checkout/sessions/{id}", self.show, methods=["GET"]),
            Route("/v1/payment_intents", self.charge, methods=["POST"]),
            Route("/v1/payment_intents/{id}", self.payment, methods=["GET"]),
            Route("/v1/payment_intents/{id}/cancel", self.cancel, methods=["POST"]),
        ]

    async def make(self, request: Request) -> Response:
        """A page. What is behind it is made when a card is typed there."""
        wanted, id_ = nested(await request.body()), f"cs_test_{len(self.sessions)}"
        lines = wanted.get("line_items", {}).values()
        self.sessions[id_] = {
            "id": id_,
            "object": "checkout.session",
            "livemode": False,
            "status": "open",
            "url": f"{request.base_url}pay/{id_}",
            "amount_total": sum(int(line["price_data"]["unit_amount"]) for line in lines) or None,
            **{name: wanted[name] for name in ("mode", "customer", "client_reference_id", "metadata")},
        }
        return JSONResponse(self.sessions[id_])

    async def show(self, request: Request) -> Response:
        """The page, and what is behind it as it is now."""
        session = self.sessions.get(request.path_params["id"])
        if session is None:
            return JSONResponse({"error": {"type": "invalid_request_error", "code": "resource_missing"}}, 404)
        behind = {
            kind: received(await self.ask("GET", f"/v1/{kind}s/{session[kind]}"))
            for kind in ("setup_intent", "payment_intent")
            if kind in session
        }
        return JSONResponse(session | behind)

    async def list_of_payment(self, request: Request) -> Response:
        """The page that a payment was made on."""
        wanted = request.query_params.get("payment_intent")
        found = [each for each in self.sessions.values() if each.get("payment_intent") == wanted]
        return JSONResponse({"object": "list", "data": found, "has_more": False, "url": request.url.path})

    async def type_card(self, session_id: str, number: str) -> None:
        """What a person does on such a page, and answering "yes, it is me" when the bank asks."""
        session = self.sessions[session_id]
        card = {"number": number, "exp_month": 12, "exp_year": 2034, "cvc": "123"}
        method = (await self.ask("POST", "/v1/payment_methods", {"type": "card", "card": card}))["id"]
        if session["mode"] == "setup":
            await self._save(session, method)
        else:
            await self._pay(session, method)
        session |= {"status": "complete", "url": None}

    async def _save(self, session: Document, method: str) -> None:
        wanted = {"customer": session["customer"], "metadata": session["metadata"]}
        intent = session["setup_intent"] = (await self.ask("POST", "/v1/setup_intents", wanted))["id"]
        confirm = f"/v1/setup_intents/{intent}/confirm"
        if (await self.ask("POST", confirm, {"payment_method": method}))["status"] == "requires_action":
            await self.ask("POST", confirm, {"use_stripe_sdk": True})
        await self.ask("POST", f"/v1/payment_methods/{method}/attach", {"customer": session["customer"]})

    async def _pay(self, session: Document, method: str) -> None:
        wanted = {
            "amount": session["amount_total"],
            "currency": "usd",
            "customer": session["customer"],
            "payment_method": method,
            "metadata": session["metadata"],
        }
        intent = await self.ask("POST", "/v1/payment_intents", wanted)
        session["payment_intent"] = intent["id"]
        path = f"/v1/payment_intents/{intent['id']}"
        if (await self.ask("POST", f"{path}/confirm", {}))["status"] == "requires_action":
            answer = {"client_secret": intent["client_secret"], "success": True}
            await self.ask("POST", f"{path}/_authenticate", answer)

    async def charge(self, request: Request) -> Response:
        """A charge without the words about it, and a refusal that is the card's and names the payment."""
        wanted = nested(await request.body())
        for unknown in ("description", "automatic_payment_methods"):
            wanted.pop(unknown, None)
        answer = await self.try_asking("POST", "/v1/payment_intents", wanted)
        document: Document = answer.json()
        if answer.status_code == 402:
            error = document["error"] | {"type": "card_error"}
            charge = await self.ask("GET", f"/v1/charges/{error['charge']}")
            document = {"error": error | {"payment_intent": {"id": charge["payment_intent"]}}}
        return JSONResponse(document, answer.status_code)

    async def payment(self, request: Request) -> Response:
        """A payment with what was received."""
        answer = await self.try_asking("GET", request.url.path)
        return JSONResponse(received(answer.json()), answer.status_code)

    async def cancel(self, request: Request) -> Response:
        """Without the reason for it."""
        answer = await self.try_asking("POST", request.url.path, {})
        return Response(answer.content, answer.status_code, media_type="application/json")


def received(intent: Document) -> Document:
    """Say of a payment that succeeded that all of it was received."""
    is_paid = intent.get("object") == "payment_intent" and intent["status"] == "succeeded"
    return intent | {"amount_received": intent["amount"]} if is_paid else intent


def nested(body: bytes) -> Document:
    """A form as the SDK writes it: `a[b][0]=c` becomes {"a": {"b": {"0": "c"}}}."""
    document: Document = {}
    for name, value in parse_qsl(body.decode(), keep_blank_values=True):
        *places, last = re.findall(r"[^\[\]]+", name)
        into: Document = document
        for place in places:
            into = into.setdefault(place, {})
        into[last] = value
    return document


def with_id(event: Mapping[str, Any], event_id: str) -> Document:
    """An event with what every one of Stripe's has."""
    return {"id": event_id, "object": "event", "created": 0, "livemode": False, **event}
