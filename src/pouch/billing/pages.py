"""The money pages: Billing and Credits, Buy Credits, and one purchase."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pouch.base.clock import Clock, system_clock
from pouch.base.database import Database
from pouch.base.errors import InvalidInput, NotFound, PouchError, TooManyRequests
from pouch.base.ids import read_id, show_id
from pouch.base.languages import say
from pouch.billing.account import LOTS_MAX, LOTS_SHOWN, load_account
from pouch.billing.buying import PaymentUnderWay, Terms, read_amount
from pouch.billing.ledger_pages import LedgerPages
from pouch.billing.lines import CHOICES, Wanted
from pouch.billing.live import STATES_TOLD, purchases_seen
from pouch.billing.refund_pages import RefundPages
from pouch.billing.reversed import load_back
from pouch.billing.top_up_form import TopUpForm, charge_text
from pouch.billing.words import CHOICE_WORDS
from pouch.identity.throttles import client_network
from pouch.identity.verification import need_verified
from pouch.ledger.tally import Tallies
from pouch.payments.checkout import Checkout
from pouch.payments.errors import AttemptReused, NoProcessor, ProcessorRefused
from pouch.payments.purchases import find_purchase, list_purchases, list_waiting
from pouch.payments.refunding import Refunding
from pouch.payments.types import Purchase
from pouch.payments.words import PURCHASE_STATES, REFUND_STATES
from pouch.topups.room import TopUps
from pouch.web.forms import read_form
from pouch.web.pages import Web

HASTE = timedelta(minutes=2)
"""So long a buyer is likely to sit and wait; afterwards the page of a pending purchase asks less often."""
RELOAD_SOON_S, RELOAD_LATER_S = 3, 30
log = structlog.get_logger(__name__)

_SEQ = re.compile(r"[0-9]{1,18}", re.ASCII)


class BillingPages:
    """Shows an organization its money and lets it buy more. The session alone says whose money that is."""

    def __init__(  # noqa: PLR0913 -- what these pages need
        self,
        web: Web,
        database: Database,
        checkout: Checkout,
        topups: TopUps,
        refunding: Refunding,
        *,
        clock: Clock = system_clock,
    ) -> None:
        self._web = web
        self._database = database
        self._checkout = checkout
        self._sync = topups.sync
        self._refunding = refunding
        self._refunds = RefundPages(web, database, refunding)
        self._clock = clock
        self._tallies = Tallies()
        self._ledger = LedgerPages(web, database)
        web.templates.globals["buying"] = Terms.of(web.settings.file, is_open=checkout.is_open)
        web.templates.globals |= {"top_up_form": TopUpForm.of, "charge_text": charge_text}
        web.dialogs |= {"buy": "billing/_buy_dialog.html", "auto-top-up": "billing/_auto_top_up_dialog.html"}

    def routes(self) -> list[Route]:
        """Where the pages are."""
        return [
            Route("/billing", self.billing),
            Route("/billing/buy", self.buy),
            Route("/billing/purchases", self.start_purchase, methods=["POST"]),
            Route("/billing/purchases/{id}", self.purchase),
            Route("/billing/purchases/{id}/receipt", self.receipt),
            *self._refunds.routes(),
            *self._ledger.routes(),
        ]

    async def billing(self, request: Request) -> Response:
        """Balance, purchases and every change of the balance."""
        viewer = await self._web.signed_in(request)
        before, wanted = _read_seq(request.query_params.get("before")), Wanted.of(request.query_params)
        purchases_before = read_id("pur", request.query_params.get("purchases", ""))
        all_lots, now = request.query_params.get("lots") == "all", self._clock()
        async with self._database.transaction() as db:
            account = await load_account(
                db,
                viewer.organization_id,
                tallies=self._tallies,
                now=now,
                before=before,
                wanted=wanted,
                purchases_before=purchases_before,
            )
            cards = await self._sync.cards.all(db, viewer.organization_id)
        if not account.tally.agrees:
            log.error("ledger_differs", organization=str(viewer.organization_id), tally=repr(account.tally))
        return await self._web.page(
            request,
            "billing/billing.html",
            account=account,
            cards=cards,
            before=before,
            purchases_before=purchases_before,
            all_lots=all_lots,
            lots_shown=LOTS_MAX if all_lots else LOTS_SHOWN,
            wanted=wanted,
            choices={choice: CHOICE_WORDS[choice] for choice in CHOICES},
            states=PURCHASE_STATES,
            seen=purchases_seen(account.purchases),
            show_id=show_id,
            now=now,
        )

    async def buy(self, request: Request) -> Response:
        """The form on a page of its own, for browsers without dialogs."""
        await self._web.signed_in(request)
        return await self._form(request, {}, None)

    async def start_purchase(self, request: Request) -> Response:
        """Send the browser to the checkout. A form that is sent twice leads to the same purchase."""
        viewer = await self._web.signed_in(request)
        need_verified(viewer)
        form = await read_form(request)
        try:
            await self._check_seen(viewer.organization_id, form)
            purchase = await self._checkout.start(
                organization_id=viewer.organization_id,
                person_id=viewer.person_id,
                email=viewer.email,
                amount=read_amount(form),
                attempt=form.get("attempt", ""),
                saves_card=form.get("save_card") == "yes",
                network=client_network(request.client.host if request.client else ""),
            )
        except (InvalidInput, PaymentUnderWay, AttemptReused, NoProcessor, ProcessorRefused, TooManyRequests) as error:
            return await self._form(request, form, error)
        return RedirectResponse(self._checkout.url_of(purchase), status_code=303)

    async def purchase(self, request: Request) -> Response:
        """Where the checkout sends the browser back to, and what became of it ever after."""
        viewer = await self._web.signed_in(request)
        purchase_id = read_id("pur", request.path_params["id"])
        found = await self._sync.visit(viewer.organization_id, purchase_id) if purchase_id else None
        if found is None:
            raise NotFound(say("There is no such purchase."))
        async with self._database.transaction() as db:
            back = await load_back(db, found, self._refunding)
        return await self._web.page(
            request,
            "billing/purchase.html",
            purchase=found,
            back=back,
            refund_states=REFUND_STATES,
            state=PURCHASE_STATES[found.state],
            pay_url=self._checkout.url_of(found) if found.state == "open" else None,
            reload_s=_reload_s(found, self._clock(), came_back="from" in request.query_params),
            seen=await self._seen(viewer.organization_id),
        )

    async def receipt(self, request: Request) -> Response:
        """The receipt of a purchase that was paid, to print or to keep."""
        viewer = await self._web.signed_in(request)
        purchase_id = read_id("pur", request.path_params["id"])
        async with self._database.transaction() as db:
            found = await find_purchase(db, viewer.organization_id, purchase_id) if purchase_id else None
        if found is None:
            raise NotFound(say("There is no such purchase."))
        if found.credited_at is None:
            return RedirectResponse(f"/billing/purchases/{found.shown_id}", status_code=303)
        async with self._database.transaction() as db:
            back = await load_back(db, found, self._refunding)
        return await self._web.page(
            request, "billing/receipt.html", purchase=found, back=back, state=PURCHASE_STATES[found.state]
        )

    async def _seen(self, organization_id: UUID) -> str:
        async with self._database.transaction() as db:
            return purchases_seen(await list_purchases(db, organization_id, STATES_TOLD))

    async def _check_seen(self, organization_id: UUID, form: Mapping[str, str]) -> None:
        """Refuse a form of a page that was drawn before another payment began; its buyer cannot know of it.

        A form says the newest purchase that it showed as under way; one that says nothing is no form of ours.
        """
        if "seen" not in form:
            return
        async with self._database.transaction() as db:
            waiting = await list_waiting(db, organization_id)
        seen = read_id("pur", form["seen"])
        others = [each for each in waiting if each.attempt != form.get("attempt")]
        if others and (seen is None or others[0].id > seen):
            raise PaymentUnderWay

    async def _form(self, request: Request, form: Mapping[str, str], error: PouchError | None) -> Response:
        beside = error if isinstance(error, InvalidInput) and error.field == "amount_usd" else None
        return await self._web.page(
            request,
            "billing/buy.html",
            error.status if error else 200,
            typed=form.get("amount_usd", ""),
            saves_card=form.get("save_card") == "yes",
            preset=form.get("preset", ""),
            # A corrected amount is still the same intention; after any other refusal the form begins a new one.
            attempt=form.get("attempt") if beside or isinstance(error, PaymentUnderWay) else None,
            field_error=beside.message if beside else None,
            # The purchases under way are above the form anyway, with what can be done.
            problem=None if beside or isinstance(error, PaymentUnderWay) else error,
            dialogs={name: template for name, template in self._web.dialogs.items() if name != "buy"},
        )


def _reload_s(purchase: Purchase, now: datetime, *, came_back: bool) -> int | None:
    """After how many seconds the page should look again. None when only the buyer can move things on."""
    waits = purchase.state in {"created", "processing"} or (purchase.state == "open" and came_back)
    if purchase.quarantine or not waits:
        return None
    return RELOAD_SOON_S if now - purchase.created_at < HASTE else RELOAD_LATER_S


def _read_seq(text: str | None) -> int | None:
    return int(text) if text is not None and _SEQ.fullmatch(text) else None
