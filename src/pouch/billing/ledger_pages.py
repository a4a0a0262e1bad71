"""Single lines of the ledger, and the ledger as a file."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from pouch.base.database import Database
from pouch.base.errors import NotFound
from pouch.base.ids import read_id
from pouch.base.languages import say
from pouch.billing.account import row_of
from pouch.billing.export import csv_of, json_of
from pouch.billing.lines import Wanted, every_line, find_line
from pouch.identity.keys import key_names
from pouch.ledger.grants import find_grant
from pouch.web.pages import Web


class LedgerPages:
    """What caused a line, and every line for download. The session alone says whose."""

    def __init__(self, web: Web, database: Database) -> None:
        self._web = web
        self._database = database

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/billing/ledger.csv", self.csv),
            Route("/billing/ledger.json", self.json),
            Route("/billing/ledger/{id}", self.line),
        ]

    async def line(self, request: Request) -> Response:
        """A line whose cause has a page leads there; any other has its own."""
        viewer = await self._web.signed_in(request)
        line_id = read_id("line", request.path_params["id"])
        async with self._database.transaction() as db:
            charge = await find_line(db, viewer.organization_id, line_id) if line_id else None
        if charge is None:
            raise NotFound(say("There is no such line."))
        row = row_of(charge, {})
        if row.href != request.url.path:
            return RedirectResponse(row.href, status_code=303)
        async with self._database.transaction() as db:
            is_grant = charge.line.kind == "grant"
            given = await find_grant(db, viewer.organization_id, charge.line.id) if is_grant else None
        return await self._web.page(request, "billing/line.html", row=row, line=charge.line, given=given)

    async def csv(self, request: Request) -> Response:
        """The chosen lines as CSV."""
        return await self._file(request, "csv")

    async def json(self, request: Request) -> Response:
        """The chosen lines as JSON."""
        return await self._file(request, "json")

    async def _file(self, request: Request, kind: str) -> Response:
        viewer = await self._web.signed_in(request)
        chunks = every_line(self._database, viewer.organization_id, Wanted.of(request.query_params))
        async with self._database.transaction() as db:
            names = await key_names(db, viewer.organization_id)
        content = csv_of(chunks, names) if kind == "csv" else json_of(chunks, names)
        headers = {"content-disposition": f'attachment; filename="ledger.{kind}"', "cache-control": "private, no-cache"}
        media_type = "text/csv; charset=utf-8; header=present" if kind == "csv" else "application/json"
        return StreamingResponse(content, headers=headers, media_type=media_type)
