"""/agents: what runs now and what it spends, what ran before, and the form that starts a run."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pouch.agents import wishes, workers
from pouch.agents.asking import Asking
from pouch.agents.bill import Bill, bill_of
from pouch.agents.environments import list_environments
from pouch.agents.kinds import profiles
from pouch.agents.meter import counted
from pouch.agents.start import Starter, first_minute
from pouch.agents.store import clock, count_runs, list_runs
from pouch.agents.types import KINDS, Run
from pouch.agents.wishes import NOT_OVER
from pouch.agents.words import KIND_HINTS, KIND_WORDS, duration_words, reason_words, state_tone, state_words
from pouch.base.database import Connection, Database
from pouch.base.errors import InvalidInput, PouchError
from pouch.base.ids import new_id
from pouch.base.money import ZERO, Money
from pouch.catalog.agent_price import agent_price, time_cost_nanos
from pouch.catalog.types import Model
from pouch.identity.verification import need_verified
from pouch.web.forms import read_form
from pouch.web.pages import Web
from pouch.web.problems import problem_of

PAST_SHOWN = 20
LIVE_SHOWN = 50
QUARTER_HOUR_S = 900
LIKE_IT = 5
"""So many earlier runs of the same agent say what a run costs."""


class AgentPages:
    """The list of an organization's runs. Whose they are follows from the session alone."""

    def __init__(self, web: Web, database: Database, asking: Asking, *, models: Callable[[], Sequence[Model]]) -> None:
        self._web = web
        self._database = database
        self._asking = asking
        self._models = models
        web.templates.globals["agent_words"] = {
            "state": state_words,
            "tone": state_tone,
            "reason": reason_words,
            "kind": KIND_WORDS,
            "hint": KIND_HINTS,
            "duration": duration_words,
        }

    def routes(self) -> list[Route]:
        """Where it is. They come before those of one run."""
        return [
            Route("/agents", self.show, methods=["GET"]),
            Route("/agents", self.start, methods=["POST"]),
            Route("/agents/stop-all", self.ask_to_stop_all, methods=["GET"]),
            Route("/agents/stop-all", self.stop_all, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """Everything of the organization, live runs first."""
        return await self._page(request, {})

    async def start(self, request: Request) -> Response:
        """Start a run and go to it. A form that is sent twice leads to the same run."""
        viewer = await self._web.signed_in(request)
        need_verified(viewer)
        form = await read_form(request)
        key = f"web:{viewer.person_id}:{form.get('attempt') or new_id().hex}"
        starter = Starter(viewer.organization_id, viewer.person_id, "web", key)
        try:
            async with self._database.transaction() as db:
                run, _ = await self._asking.start(db, starter, form, is_operator=viewer.is_operator)
        except PouchError as error:
            return await self._page(request, form, error)
        return RedirectResponse(f"/agents/{run.shown_id}", status_code=303)

    async def ask_to_stop_all(self, request: Request) -> Response:
        """Ask once more; the page behind the dialog."""
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            runs = await list_runs(db, viewer.organization_id, states=NOT_OVER, limit=LIVE_SHOWN)
        return await self._web.page(request, "agents/stop_all.html", count=len(runs))

    async def stop_all(self, request: Request) -> Response:
        """Stop everything that is not over. Its work is saved."""
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            await wishes.stop_all(db, viewer.organization_id)
        return RedirectResponse("/agents", status_code=303)

    async def _page(self, request: Request, form: dict[str, str], error: PouchError | None = None) -> Response:
        viewer = await self._web.signed_in(request)
        before = request.query_params.get("before", "")
        async with self._database.transaction() as db:
            now = await clock(db)
            organization = viewer.organization_id
            live = [
                await _bill(db, run, now)
                for run in await list_runs(db, organization, states=NOT_OVER, limit=LIVE_SHOWN)
            ]
            past = await list_runs(
                db,
                organization,
                states=_PAST,
                before=int(before) if before.isascii() and before.isdigit() and len(before) < 10 else None,
                limit=PAST_SHOWN + 1,
            )
            price = await agent_price(db)
            context: dict[str, object] = {
                "live": live,
                "past": [await _bill(db, run, now) for run in past[:PAST_SHOWN]],
                "older": past[PAST_SHOWN - 1].number if len(past) > PAST_SHOWN else None,
                "count": await count_runs(db, organization),
                "can_run": await workers.are_there(db),
                "engines": await workers.engines(db),
                "profiles": await profiles(db, organization),
                "repositories": await _repositories(db, organization),
                "environments": await list_environments(db, organization),
                "like_it": await _like_it(db, organization),
            }
        per_hour = price.per_hour if price is not None else ZERO
        problem = problem_of(error) if error else None
        return await self._web.page(
            request,
            "agents/agents.html",
            problem.status if problem else 200,
            **context,
            per_hour=per_hour,
            first_minute=first_minute(per_hour),
            quarter_hour=Money(time_cost_nanos(QUARTER_HOUR_S, per_hour.nanos)),
            spending=_sum(each.per_hour for each in live),
            spending_time=_sum(each.run.price_per_hour for each in live if each.run.state == "running"),
            held=_sum(each.held for each in live),
            kinds=KINDS,
            models=self._models(),
            typed=form,
            attempt=form.get("attempt") or new_id().hex,
            field=error.field if isinstance(error, InvalidInput) else None,
            message=problem.text if problem else "",
        )


_PAST = ("succeeded", "failed", "canceled", "timed_out", "interrupted")


async def _bill(db: Connection, run: Run, now: datetime) -> Bill:
    return await bill_of(db, counted(run, now), now)


async def _repositories(db: Connection, organization_id: UUID) -> list[str]:
    rows = await db.execute(
        """
        SELECT repository FROM agent_runs WHERE organization_id = %s
         GROUP BY repository ORDER BY max(number) DESC LIMIT 10
        """,
        (organization_id,),
    )
    return [repository for (repository,) in await rows.fetchall()]


async def _like_it(db: Connection, organization_id: UUID) -> tuple[Money, Money] | None:
    """What the last runs that came to their end cost at least and at most."""
    rows = await db.execute(
        """
        SELECT min(spent_nanos), max(spent_nanos) FROM (
            SELECT l.spent_nanos FROM agent_runs AS r JOIN ledger_limits AS l ON l.subject = r.id
             WHERE r.organization_id = %s AND r.state = 'succeeded' ORDER BY r.number DESC LIMIT %s) AS last
        """,
        (organization_id, LIKE_IT),
    )
    row = await rows.fetchone()
    return (Money(row[0]), Money(row[1])) if row and row[0] is not None else None


def _sum(amounts: Iterable[Money]) -> Money:
    return sum(amounts, ZERO)
