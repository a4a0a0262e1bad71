"""Usage: what was called, by day, model and key, and why each call cost what it cost."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.base.clock import Clock, system_clock
from pouch.base.database import Database
from pouch.base.errors import NotFound
from pouch.base.ids import read_id, show_id
from pouch.base.languages import later, say
from pouch.catalog.store import find_price
from pouch.identity.keys import key_names
from pouch.identity.profiles import memberships_of
from pouch.identity.types import PersonId
from pouch.usage.days import usage_since
from pouch.usage.explain import explain
from pouch.usage.store import find_call, models_used, newest_calls
from pouch.usage.types import Outcome
from pouch.usage.views import PERIODS, Asked, drawing, shortened
from pouch.web.pages import Web

CALLS_PER_PAGE = 15
OUTCOMES: dict[Outcome, str] = {
    "done": later("Answered in full"),
    "client_gone": later("Stopped by the caller"),
    "cut": later("Broken off by the provider"),
    "failed": later("No answer, no charge"),
}


class UsagePages:
    """Shows an organization its calls. The session alone says whose."""

    def __init__(
        self, web: Web, database: Database, *, example_model: Callable[[], str], clock: Clock = system_clock
    ) -> None:
        self._web = web
        self._database = database
        self._example_model = example_model
        self._clock = clock
        web.templates.filters["number"] = "{:,}".format

    def routes(self) -> list[Route]:
        """Where the pages are."""
        return [Route("/usage", self.usage), Route("/usage/{id}", self.call)]

    async def usage(self, request: Request) -> Response:
        """A period in figures, its chart, and the calls, newest first."""
        viewer = await self._web.signed_in(request)
        organization_id, now = viewer.organization_id, self._clock()
        asked = Asked.of(request.query_params)
        since, wanted = asked.since(now), asked.wanted
        async with self._database.transaction() as db:
            models = await models_used(db, organization_id)
            used = await usage_since(
                db, organization_id, since=since.date(), now=now, wanted=wanted, bucket=asked.bucket
            )
            calls = await newest_calls(
                db, organization_id, limit=CALLS_PER_PAGE + 1, wanted=wanted, before=asked.before, since=since
            )
            names = await key_names(db, organization_id)
            belongs = await memberships_of(db, PersonId(viewer.person_id))
        others = [each.name for each in belongs if each.organization_id != organization_id]
        if not models:
            return await self._web.page(request, "usage/empty.html", model=self._example_model(), others=others)
        shown = calls[:CALLS_PER_PAGE]
        return await self._web.page(
            request,
            "usage/usage.html",
            asked=asked,
            others=others,
            periods=PERIODS,
            models=models,
            keys=names,
            used=used,
            by_model=shortened(used.models),
            by_key=shortened(used.keys),
            drawing=drawing(used, asked, now),
            calls=shown,
            outcomes=OUTCOMES,
            older=shown[-1].id if len(calls) > len(shown) else None,
            show_id=show_id,
        )

    async def call(self, request: Request) -> Response:
        """One call and its receipt."""
        viewer = await self._web.signed_in(request)
        call_id = read_id("gen", request.path_params["id"])
        async with self._database.transaction() as db:
            call = await find_call(db, viewer.organization_id, call_id) if call_id else None
            if call is None:
                raise NotFound(say("There is no such call."))
            price = await find_price(db, call.price_id) if call.price_id else None
            names = await key_names(db, viewer.organization_id)
        return await self._web.page(
            request,
            "usage/call.html",
            call=call,
            shown_id=show_id("gen", call.id),
            receipt=explain(call, price),
            key_name=names.get(call.key_id),
            outcome=OUTCOMES[call.outcome],
            seconds=f"{(call.finished_at - call.started_at).total_seconds():,.1f}",
            show_id=show_id,
        )
