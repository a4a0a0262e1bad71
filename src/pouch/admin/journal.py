"""/admin/journal: the balance sheet, and the double-entry journal as a file for an accounting program."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from pouch.admin.desk import Desk
from pouch.admin.reading import read_day
from pouch.base.database import Database
from pouch.base.errors import InvalidInput, PouchError
from pouch.base.ids import new_id
from pouch.base.languages import say
from pouch.base.money import ZERO
from pouch.ledger.journal import FORMATS, Format, entries, journal
from pouch.ledger.sheet import sheet
from pouch.oversight import acts
from pouch.oversight.types import Act
from pouch.web.pages import Web

TYPES: dict[Format, tuple[str, str]] = {
    "csv": ("csv", "text/csv; charset=utf-8; header=present"),
    "json": ("json", "application/json"),
    "hledger": ("journal", "text/plain; charset=utf-8"),
}
"""The end of the file's name, and what it is."""


class JournalPages:
    """All books at once, and every transfer of some days."""

    def __init__(self, web: Web, pages: Desk, database: Database) -> None:
        self._web = web
        self._pages = pages
        self._database = database

    def routes(self) -> list[Route]:
        """Where they are."""
        return [Route("/admin/journal", self.show), Route("/admin/journal/download", self.download)]

    async def show(self, request: Request) -> Response:
        """What is in each account, which comes to zero, and the form for the file."""
        viewer = await self._pages.operator(request)
        if again := await self._web.ask_again(viewer, request.url.path):
            return again
        return await self._draw(request, None)

    async def download(self, request: Request) -> Response:
        """The file, piece by piece, of one moment. The days are UTC, both included."""
        viewer = await self._pages.operator(request)
        if again := await self._web.ask_again(viewer, "/admin/journal"):
            return again
        query = request.query_params
        kind: Format = next((each for each in FORMATS if each == query.get("format")), "csv")
        try:
            first, last = _days(query.get("from", ""), query.get("to", ""))
        except InvalidInput as error:
            return await self._draw(request, error)
        async with self._database.transaction() as db:
            text = f"{kind}, {first or 'the beginning'} to {last or 'now'}"
            await acts.note(db, self._pages.who(viewer), Act(str(new_id()), "journal", text, path="/admin/journal"))
        suffix, media_type = TYPES[kind]
        days = "-".join(str(day) for day in (first, last or datetime.now(UTC).date()) if day)
        headers = {
            "content-disposition": f'attachment; filename="pouch-journal-{days}.{suffix}"',
            "cache-control": "private, no-store",
        }
        return StreamingResponse(self._text(kind, first, last), headers=headers, media_type=media_type)

    async def _text(self, kind: Format, first: date | None, last: date | None) -> AsyncIterator[str]:
        async with self._database.transaction() as db:
            async for text in journal(entries(db, first_day=first, last_day=last), kind):
                yield text

    async def _draw(self, request: Request, error: PouchError | None) -> Response:
        async with self._database.transaction() as db:
            accounts = await sheet(db)
        query = request.query_params
        return await self._pages.page(
            request,
            "admin/journal.html",
            error.status if error else 200,
            accounts=accounts,
            total=sum(accounts.values(), ZERO),
            typed={name: query.get(name, "")[:40] for name in ("from", "to", "format")},
            formats=FORMATS,
            error=error.message if error else None,
            field=error.field if isinstance(error, InvalidInput) else None,
        )


def _days(since: str, until: str) -> tuple[date | None, date | None]:
    first, last = read_day(since, "from"), read_day(until, "to")
    if first and last and last < first:
        raise InvalidInput(say("The last day is not before the first one."), field="to")
    return first, last
