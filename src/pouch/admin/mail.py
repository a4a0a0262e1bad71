"""/admin/mail: every letter that was written, and how each kind looks."""

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from pouch.admin.desk import Desk
from pouch.base.database import Database
from pouch.base.errors import NotFound
from pouch.base.ids import read_id, show_id
from pouch.base.languages import later, say
from pouch.mail import outbox
from pouch.mail.templates import Templates, Words

PER_PAGE = 50
STATES: Mapping[str, tuple[str, str]] = {
    "queued": (later("Waiting"), "held"),
    "sending": (later("Being sent"), "live"),
    "sent": (later("Sent"), "good"),
    "failed": (later("Not delivered"), "bad"),
}
SAMPLES: Mapping[str, str] = {
    "amount": "$25.00",
    "available": "$31.12",
    "before": "$6.12",
    "taken": "$18.40",
    "owed": "$6.60",
    "paid_debt": "$6.60",
    "card": "Visa ending 4242",
    "brand": "Visa",
    "last4": "4242",
    "number": "1044",
    "hint": "9f3k",
    "limit": "$20.00",
    "name": "Build server",
    "note": "Sorry for the trouble",
    "time": "24 Nov 2026, 14:32 UTC",
    "bought_at": "23 Nov 2026, 09:05 UTC",
    "mode": "live",
    "failure": "The bank could not take the money, so it came back. The credits are yours again.",
    "what": "A bank disputes $25.00",
    "text": "Purchase pur_06h… of alice@example.com.\nAnswer at the card processor by 1 Dec 2026, 12:00 UTC.",
    "path": "/admin/disputes",
    "email": "alice@example.com",
    "browser": "Firefox on Linux",
    "network": "192.0.2.0",
    "balance": "$4.10",
    "low": "$5.00",
    "threshold": "$5.00",
    "month": "November 2026",
    "percent": "80",
    "state": "Succeeded",
    "charges": "3",
    "days": "7",
    "reason": "There is not enough money on the card.",
    "rule": "Below $10.00, buy $20.00, at most $100.00 a month.",
    "follows": "It is tried again in an hour.",
    "fee": "$1.40",
    "tax": "$5.28",
    "total": "$31.68",
    "opening": "$20.00",
    "came": "$25.00",
    "spent": "$13.88",
    "closing": "$31.12",
}
"""What stands in a preview for each name; another name stands for itself."""
SAMPLES_OF: Mapping[str, Mapping[str, str]] = {
    "top_up_changed": {"what": "Auto top-up was switched on."},
    "agent_end": {"number": "run_06h1r2"},
    "agent_share": {"number": "run_06h1r2"},
}
"""The same where a name means something else in one kind."""
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
# A letter's own markup runs nothing and loads nothing.
_LETTER_HEADERS: Final = {
    "content-security-policy": (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        "form-action 'none'; frame-ancestors 'self'"
    ),
    "x-frame-options": "SAMEORIGIN",
}


class MailPages:
    """The log of the outbox, and previews of every kind with sample data."""

    def __init__(self, pages: Desk, database: Database, templates: Templates) -> None:
        self._pages = pages
        self._database = database
        self._templates = templates

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/admin/mail", self.log),
            Route("/admin/mail/{letter}/again", self.again, methods=["POST"]),
            Route("/admin/letters", self.kinds),
            Route("/admin/letters/{kind}", self.preview),
            Route("/admin/letters/{kind}/html", self.letter),
        ]

    async def log(self, request: Request) -> Response:
        """The newest letters, or those that fit."""
        await self._pages.operator(request)
        query = request.query_params
        to, kind, state = (query.get(name, "")[:200].replace("\x00", "").strip() for name in ("to", "kind", "state"))
        async with self._database.transaction() as db:
            found = await outbox.log(
                db, to=to, kind=kind, state=state, before=read_id("mail", query.get("before", "")), limit=PER_PAGE + 1
            )
        return await self._pages.page(
            request,
            "admin/mail.html",
            letters=found[:PER_PAGE],
            older=show_id("mail", found[PER_PAGE - 1].id) if len(found) > PER_PAGE else None,
            chosen={"to": to, "kind": kind, "state": state},
            kinds=self._templates.kinds(),
            states=STATES,
            show_id=show_id,
        )

    async def again(self, request: Request) -> Response:
        """Send one that was given up once more."""
        await self._pages.operator(request)
        letter_id = read_id("mail", request.path_params["letter"])
        async with self._database.transaction() as db:
            if letter_id is None or not await outbox.try_again(db, letter_id):
                raise NotFound(say("There is no such letter, or nothing to send."))
        return RedirectResponse("/admin/mail", status_code=303)

    async def kinds(self, request: Request) -> Response:
        """Every kind of letter with its subject."""
        await self._pages.operator(request)
        letters = {kind: self._words(kind).subject for kind in self._templates.kinds()}
        return await self._pages.page(request, "admin/letters.html", letters=letters)

    async def preview(self, request: Request) -> Response:
        """One kind with sample data, as HTML and as text."""
        await self._pages.operator(request)
        kind = self._kind(request)
        page = await self._pages.page(request, "admin/letter.html", kind=kind, words=self._words(kind))
        page.headers["content-security-policy"] = _POLICY
        return page

    async def letter(self, request: Request) -> Response:
        """The HTML of one kind alone, for the frame."""
        await self._pages.operator(request)
        return HTMLResponse(self._words(self._kind(request)).html, headers=_LETTER_HEADERS)

    def _kind(self, request: Request) -> str:
        kind = str(request.path_params["kind"])
        if kind not in self._templates.kinds():
            raise NotFound(say("There is no such letter."))
        return kind

    def _words(self, kind: str) -> Words:
        site = self._pages.site_url
        own = {**SAMPLES, **SAMPLES_OF.get(kind, {})}
        context = {name: own.get(name) or _sample(name, site) for name in self._templates.names_in(kind)}
        return self._templates.render(kind, to="alice@example.com", context=context)


def _sample(name: str, site_url: str) -> str:
    if name in {"page", "link", "url"} or name.endswith(("_url", "_link")):
        return f"{site_url}/billing"
    return name.replace("_", " ")
