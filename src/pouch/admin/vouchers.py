"""/admin/vouchers: making codes that turn into credits, what became of them, and cancelling them."""

import csv
import io
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pouch.admin.desk import Desk
from pouch.admin.orders import Codes, Orders, VoucherOrder
from pouch.admin.reading import read_day, read_gift, read_note, read_number
from pouch.base.clock import Clock, system_clock
from pouch.base.database import Database
from pouch.base.errors import Conflict, InvalidInput, NotFound, PouchError
from pouch.base.ids import read_id, show_id
from pouch.base.languages import later, say
from pouch.identity.people import find_person_with_id
from pouch.identity.types import PersonId
from pouch.oversight import acts
from pouch.oversight.types import Act
from pouch.oversight.types import Request as Asked
from pouch.vouchers import batches, making
from pouch.vouchers.making import DAYS_MAX, USES_MAX
from pouch.vouchers.types import Voucher, VoucherState
from pouch.web.forms import read_form
from pouch.web.pages import Web

STATES: dict[VoucherState, tuple[str, str]] = {
    "waiting": (later("Not yet good"), "held"),
    "good": (later("Good"), "good"),
    "used up": (later("Used up"), ""),
    "over": (later("Over"), ""),
    "voided": (later("Cancelled"), "bad"),
}


class VoucherDesk:
    """The form, the codes once, the list, one with who redeemed it, and cancelling."""

    def __init__(
        self, web: Web, pages: Desk, database: Database, orders: Orders, *, clock: Clock = system_clock
    ) -> None:
        self._web = web
        self._pages = pages
        self._database = database
        self._orders = orders
        self._clock = clock

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/admin/vouchers", self.show, methods=["GET"]),
            Route("/admin/vouchers", self.make, methods=["POST"]),
            Route("/admin/vouchers/codes.csv", self.file, methods=["POST"]),
            Route("/admin/vouchers/{id}", self.one),
            Route("/admin/vouchers/{id}/void", self.void, methods=["POST"]),
            Route("/admin/vouchers/{id}/void-batch", self.void_batch, methods=["POST"]),
            Route("/admin/approvals/{id}/codes", self.make_allowed, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The form and the newest vouchers."""
        viewer = await self._pages.operator(request)
        if again := await self._web.ask_again(viewer, request.url.path):
            return again
        return await self._draw(request, {}, None)

    async def make(self, request: Request) -> Response:
        """Make a batch and show its codes, this once; or ask another operator."""
        viewer = await self._pages.operator(request)
        form = await read_form(request)
        if again := await self._web.ask_again(viewer, request.url.path):
            return again
        try:
            order = _read(form)
            async with self._database.transaction() as db:
                placed = await self._orders.place(db, self._pages.who(viewer), form.get("attempt", ""), order)
        except (InvalidInput, Conflict) as error:
            return await self._draw(request, form, error)
        if isinstance(placed, Asked):
            return RedirectResponse(f"/admin/approvals/{placed.shown_id}", status_code=303)
        return await self._codes(request, placed)

    async def make_allowed(self, request: Request) -> Response:
        """Make what another operator allowed, once, and show the codes. Raises NotNow."""
        viewer = await self._pages.operator(request)
        request_id = read_id("ask", request.path_params["id"])
        if request_id is None:
            raise NotFound(say("There is no such request."))
        if again := await self._web.ask_again(viewer, request.url.path.removesuffix("/codes")):
            return again
        async with self._database.transaction() as db:
            codes = await self._orders.use(db, self._pages.who(viewer), request_id)
        return await self._codes(request, codes)

    async def file(self, request: Request) -> Response:
        """The codes of the page that shows them, as a file: it is asked for with them, since they are kept nowhere."""
        await self._pages.operator(request)
        codes = (await read_form(request)).get("codes", "").split()[: batches.SIZE_MAX]
        async with self._database.transaction() as db:
            found = await batches.of_codes(db, codes)
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\r\n")
        rows.writerow(("code", "voucher", "amount_usd", "uses", "valid_until", "note"))
        for code, voucher in found:
            until = voucher.valid_until.isoformat() if voucher.valid_until else ""
            note = f"'{voucher.note}" if voucher.note.startswith(("=", "+", "-", "@")) else voucher.note
            rows.writerow((code, voucher.shown_id, voucher.amount.decimal(), voucher.uses_max, until, note))
        headers = {"content-disposition": 'attachment; filename="vouchers.csv"', "cache-control": "no-store"}
        return Response(text.getvalue(), headers=headers, media_type="text/csv; charset=utf-8; header=present")

    async def one(self, request: Request) -> Response:
        """A voucher, and who redeemed it."""
        await self._pages.operator(request)
        async with self._database.transaction() as db:
            voucher = await batches.find_voucher(db, _id(request))
            used = await batches.redemptions(db, voucher.id)
            others = await batches.size_of_batch(db, voucher.batch_id) if voucher.batch_id else 0
            people = {each.person_id: await find_person_with_id(db, PersonId(each.person_id)) for each in used}
        return await self._pages.page(
            request,
            "admin/voucher.html",
            voucher=voucher,
            state=STATES[voucher.state(self._clock())],
            is_open=voucher.voided_at is None,
            used=used,
            people=people,
            others=others,
            show_id=show_id,
        )

    async def void(self, request: Request) -> Response:
        """Let nobody redeem it any more. Repeating it changes nothing."""
        viewer = await self._pages.operator(request)
        voucher_id = _id(request)
        if again := await self._web.ask_again(viewer, request.url.path.removesuffix("/void")):
            return again
        async with self._database.transaction() as db:
            await making.void(db, voucher_id)
            voucher = await batches.find_voucher(db, voucher_id)
            text = f"Voucher …{voucher.hint} (“{voucher.note}”) cancelled"
            act = Act(f"void:{voucher_id}", "vouchers_voided", text, path=f"/admin/vouchers/{voucher.shown_id}")
            await acts.note(db, self._pages.who(viewer), act)
        return RedirectResponse(f"/admin/vouchers/{voucher.shown_id}", status_code=303)

    async def void_batch(self, request: Request) -> Response:
        """The same for all that were made with it."""
        viewer = await self._pages.operator(request)
        voucher_id = _id(request)
        if again := await self._web.ask_again(viewer, request.url.path.removesuffix("/void-batch")):
            return again
        async with self._database.transaction() as db:
            voucher = await batches.find_voucher(db, voucher_id)
            if voucher.batch_id is None:
                raise Conflict(say("This voucher was made alone."))
            count = await batches.void_batch(db, voucher.batch_id)
            act = Act(
                f"void:batch:{voucher.batch_id}",
                "vouchers_voided",
                f"{count:,} vouchers (“{voucher.note}”) cancelled",
                path=f"/admin/vouchers/{voucher.shown_id}",
            )
            await acts.note(db, self._pages.who(viewer), act)
        return RedirectResponse(f"/admin/vouchers/{voucher.shown_id}", status_code=303)

    async def _codes(self, request: Request, codes: Codes) -> Response:
        page = await self._pages.page(
            request, "admin/voucher_codes.html", codes=[code for _, code in codes], voucher=codes[0][0]
        )
        # Going back must not show them again.
        page.headers["cache-control"] = "no-store"
        return page

    async def _draw(self, request: Request, form: dict[str, str], error: PouchError | None) -> Response:
        async with self._database.transaction() as db:
            found = await making.list_vouchers(db)
        now = self._clock()

        def state(voucher: Voucher) -> tuple[str, str]:
            return STATES[voucher.state(now)]

        return await self._pages.page(
            request,
            "admin/vouchers.html",
            error.status if error else 200,
            vouchers=found,
            state=state,
            typed=form,
            attempt=form.get("attempt") if isinstance(error, InvalidInput) else str(uuid4()),
            error=error.message if error else None,
            field=error.field if isinstance(error, InvalidInput) else None,
            alone=self._orders.alone,
            size_max=batches.SIZE_MAX,
        )


def _read(form: dict[str, str]) -> VoucherOrder:
    order = VoucherOrder(
        read_gift(form.get("amount_usd", "")).nanos,
        read_number(form.get("count", ""), "count", batches.SIZE_MAX) or 1,
        read_number(form.get("uses", ""), "uses", USES_MAX) or 1,
        read_number(form.get("per_person", ""), "per_person", USES_MAX) or 1,
        read_note(form.get("note", ""), required=True),
        read_day(form.get("last_day", ""), "last_day", is_future=True),
        read_number(form.get("credits_days", ""), "credits_days", DAYS_MAX, default=None),
        form.get("code", "").strip() or None,
    )
    batches.check_size(order.size, order.own_code)
    making.check(order.wish, order.own_code)
    return order


def _id(request: Request) -> UUID:
    voucher_id = read_id("vou", request.path_params["id"])
    if voucher_id is None:
        raise NotFound(say("There is no such voucher."))
    return voucher_id
