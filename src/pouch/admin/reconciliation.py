"""/admin/reconciliation and /admin/events: whether the books agree, and what belongs to nothing."""

from datetime import datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pouch.admin.desk import Desk
from pouch.base.clock import Clock, system_clock
from pouch.base.database import Database
from pouch.base.ids import show_id
from pouch.base.languages import ngettext, say
from pouch.payments import checks, desk
from pouch.payments.checks import Check
from pouch.payments.reconciling import Reconciling


class ReconciliationPages:
    """The report, the button that checks now, and the list of what could not be matched."""

    def __init__(
        self, pages: Desk, database: Database, reconciling: Reconciling, *, clock: Clock = system_clock
    ) -> None:
        self._pages = pages
        self._database = database
        self._reconciling = reconciling
        self._clock = clock

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/admin/reconciliation", self.show, methods=["GET"]),
            Route("/admin/reconciliation", self.check, methods=["POST"]),
            Route("/admin/events", self.events),
        ]

    async def show(self, request: Request) -> Response:
        """The last check in one line, the differences, and the checks before."""
        await self._pages.operator(request)
        async with self._database.transaction() as db:
            last = await checks.last_check(db)
            found = await checks.list_differences(db)
            past = await checks.list_checks(db)
            still = await checks.open_differences(db)
            is_overdue = await checks.is_overdue(db, self._clock())
        return await self._pages.page(
            request,
            "admin/reconciliation.html",
            headline=headline(last, still, self._clock()),
            is_overdue=is_overdue,
            differences=found,
            checks=past,
            show_id=show_id,
        )

    async def check(self, request: Request) -> Response:
        """Compare now. Raises NoProcessor."""
        await self._pages.operator(request)
        await self._reconciling.check("desk")
        return RedirectResponse("/admin/reconciliation", status_code=303)

    async def events(self, request: Request) -> Response:
        """Events about nothing we know, and payments that do not agree with their purchase."""
        await self._pages.operator(request)
        async with self._database.transaction() as db:
            flagged, aside = await desk.flagged_events(db), await desk.quarantined(db)
        return await self._pages.page(request, "admin/events.html", events=flagged, purchases=aside)


def headline(last: Check | None, still: int, now: datetime) -> str:
    """How things stand, such as "0 differences, checked 3 minutes ago"."""
    if last is None:
        return say("Nothing was checked yet")
    minutes = int((now - last.started_at).total_seconds()) // 60
    if minutes < 1:
        ago = say("just now")
    elif minutes < 120:
        ago = ngettext("%(num)s minute ago", "%(num)s minutes ago", minutes) % {"num": minutes}
    else:
        ago = ngettext("%(num)s hour ago", "%(num)s hours ago", minutes // 60) % {"num": minutes // 60}
    count = ngettext("%(num)s difference", "%(num)s differences", still) % {"num": still}
    return say("%(count)s, checked %(ago)s", count=count, ago=ago)
