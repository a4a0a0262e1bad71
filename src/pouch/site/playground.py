"""/try: ask a model from the browser and see what it cost.

The browser posts to /api/try with the session's cookie and reads the answer as a stream. Without script the form posts
to /try, and the whole answer comes back as a page. Both go through the gateway like a call with a key: held, charged
and recorded, under the key that `identity.playground` names.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from pouch.base.errors import InvalidInput, NotAllowed
from pouch.base.ids import new_id
from pouch.base.languages import say
from pouch.base.money import Money
from pouch.catalog.snapshot import Catalog
from pouch.catalog.types import Model
from pouch.site.rates import priced
from pouch.web.filters import dollars
from pouch.web.forms import read_form
from pouch.web.pages import Web
from pouch.web.viewer import Viewer

Ask: TypeAlias = Callable[[Viewer, Scope, Receive, Send], Awaitable[None]]
"""Answers a chat completion for a signed-in person. The gateway's; `app` hands it in."""

LENGTHS = (256, 1024, 4096)
LENGTH = LENGTHS[1]
"""Bounds what is held: a model that can write 128,000 tokens would hold dollars for a greeting."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back for the form without script: text and cost, or a refusal in words."""

    status: int
    text: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: Money | None = None
    refusal: str = ""
    needed: Money | None = None
    """Set when credits were missing: the most that the call could have cost."""
    has: Money | None = None
    """What was available then."""


class Playground:
    """The page, its form, and the two addresses that its script calls."""

    def __init__(self, web: Web, catalog: Catalog, ask: Ask) -> None:
        self._web = web
        self._catalog = catalog
        self._ask = ask

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/try", self.show),
            Route("/try", self.answer_form, methods=["POST"]),
            Route("/api/try", _Streaming(self._web, self._ask), methods=["POST"]),
            Route("/api/try/balance", self.balance),
        ]

    async def show(self, request: Request) -> Response:
        """The empty form; `?model=` chooses one."""
        await self._web.signed_in(request)
        return await self._page(request, {"model": request.query_params.get("model", "")}, None)

    async def answer_form(self, request: Request) -> Response:
        """Ask, wait for the whole answer, and show it. The same form sent again asks nothing a second time."""
        viewer = await self._web.signed_in(request)
        check_verified(viewer)
        form = await read_form(request)
        body = _call(form)
        scope: Scope = {"type": "http", "method": "POST", "headers": _headers(form)}
        pieces, status = bytearray(), 500
        is_read = False

        async def receive() -> Message:
            nonlocal is_read
            if is_read:
                return await request.receive()  # the next thing to hear of the browser is that it left
            is_read = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            pieces.extend(message.get("body", b""))

        await self._ask(viewer, scope, receive, send)
        answered = _read(status, bytes(pieces))
        return await self._page(request, form, answered)

    async def balance(self, request: Request) -> Response:
        """What is available now, as the top bar writes it."""
        header = await self._web.find_header(await self._web.signed_in(request))
        return JSONResponse({"available": dollars(header.available)}, headers={"cache-control": "no-store"})

    async def _page(self, request: Request, form: Mapping[str, str], answered: Answered | None) -> Response:
        # A deprecated model can still be tried from its own page.
        models = tuple(each for each in self._catalog.models if not each.is_deprecated or each.id == form.get("model"))
        return await self._web.page(
            request,
            "site/try.html",
            answered.status if answered else 200,
            rows=[priced(model) for model in models],
            chosen=_chosen(models, form.get("model", "")),
            prompt=form.get("prompt", ""),
            lengths=LENGTHS,
            length=_length(form),
            attempt=new_id(),
            answered=answered,
        )


class _Streaming:
    """POST /api/try: a chat completion for whoever has signed in, streamed. A class, so that it is raw ASGI."""

    def __init__(self, web: Web, ask: Ask) -> None:
        self._web = web
        self._ask = ask

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        viewer = await self._web.signed_in(Request(scope))
        check_verified(viewer)
        await self._ask(viewer, scope, receive, send)


def check_verified(viewer: Viewer) -> None:
    """Only a person whose address is verified may call models, as with keys. Raises NotAllowed."""
    if not viewer.is_verified:
        raise NotAllowed(say("Open the link in the mail that we sent you first. Then you can call models."))


def _call(form: Mapping[str, str]) -> bytes:
    """The request of a form. Raises InvalidInput when nothing is asked."""
    prompt = form.get("prompt", "").strip()
    if not prompt:
        raise InvalidInput(say("Write something to ask first."), field="prompt")
    messages = [{"role": "user", "content": prompt}]
    return json.dumps({"model": form.get("model", ""), "messages": messages, "max_tokens": _length(form)}).encode()


def _headers(form: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    attempt = form.get("attempt", "")
    return [(b"idempotency-key", attempt.encode())] if attempt else []


def _length(form: Mapping[str, str]) -> int:
    return next((length for length in LENGTHS if str(length) == form.get("max_tokens")), LENGTH)


def _chosen(models: tuple[Model, ...], wanted: str) -> str:
    """The model that is asked for, else a free one, else the first."""
    named = next((model.id for model in models if model.id == wanted), None)
    free = next((model.id for model in models if model.is_free), None)
    return named or free or next((model.id for model in models), "")


def _read(status: int, body: bytes) -> Answered:
    # Exact: a cost has nine decimals, and none of them may pass through a float.
    document = json.loads(body or b"{}", parse_float=str)
    if status != 200:
        error = document.get("error", {})
        budget = error.get("metadata", {})
        if budget.get("limit_source") != "credits":
            return Answered(status, refusal=error.get("message", ""))
        return Answered(status, needed=Money.parse(budget["required_usd"]), has=Money.parse(budget["available_usd"]))
    usage = document["usage"]
    return Answered(
        status,
        text=document["choices"][0]["message"].get("content") or "",
        tokens_in=usage["prompt_tokens"],
        tokens_out=usage["completion_tokens"],
        cost=Money.parse(usage["cost"]),
    )
