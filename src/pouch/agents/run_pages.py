"""/agents/{run}: what a run does, did and cost, and what its person may do about it."""

from collections.abc import Awaitable, Callable
from typing import Literal, get_args
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from pouch.agents import wishes
from pouch.agents.artifacts import Artifact, content_of, find_artifact, list_artifacts, newest, read_whole
from pouch.agents.asking import Asking, read_cap
from pouch.agents.bill import bill_of, keys_of
from pouch.agents.diff import FileDiff, read_patch
from pouch.agents.errors import NotEnoughCredits, WrongState
from pouch.agents.events import events_after, last_events, last_question
from pouch.agents.forgetting import FORGOTTEN, forget_run
from pouch.agents.logs import printed, printing_events
from pouch.agents.meter import counted
from pouch.agents.sharing import count_links, end_links, share
from pouch.agents.shown import figures_json
from pouch.agents.start import first_minute
from pouch.agents.store import clock, find_run
from pouch.agents.streaming import RunStreams
from pouch.agents.timeline import ICONS, item_json, items_of
from pouch.agents.triggers.github.bringing import Bringing
from pouch.agents.triggers.origins import read_publication
from pouch.agents.types import RESTING, Run
from pouch.base.database import Connection, Database
from pouch.base.errors import InvalidInput, NotFound, PouchError
from pouch.base.ids import read_id
from pouch.base.languages import say
from pouch.identity.people import find_person_with_id
from pouch.identity.types import PersonId
from pouch.identity.verification import need_verified
from pouch.usage.by_keys import calls_with
from pouch.web.forms import read_form
from pouch.web.pages import Web
from pouch.web.problems import problem_of

Tab = Literal["timeline", "logs", "diff", "files", "cost"]
EVENTS_SHOWN = 300
PATCH_BYTES_MAX = 512 * 1024

Act = Callable[[Connection, UUID, UUID], Awaitable[Run]]


class RunPages:
    """One run. Somebody else's is not found."""

    def __init__(
        self,
        web: Web,
        database: Database,
        asking: Asking,
        streams: RunStreams,
        bringing: Bringing | None = None,
    ) -> None:
        self._bringing = bringing
        self._web = web
        self._database = database
        self._asking = asking
        self._streams = streams

    def routes(self) -> list[Route]:
        """Where it is."""
        one = "/agents/{run}"
        return [
            Route(one, self.show, methods=["GET"]),
            Route(f"{one}/events", self.events, methods=["GET"]),
            Route(f"{one}/stop", self.ask_to_stop, methods=["GET"]),
            Route(f"{one}/stop", self._acting(wishes.stop), methods=["POST"]),
            Route(f"{one}/pause", self._acting(wishes.pause), methods=["POST"]),
            Route(f"{one}/resume", self._acting(wishes.resume), methods=["POST"]),
            Route(f"{one}/retry", self.retry, methods=["POST"]),
            Route(f"{one}/messages", self.say, methods=["POST"]),
            Route(f"{one}/cap", self.change_cap, methods=["POST"]),
            Route(f"{one}/pull-request", self.bring, methods=["POST"]),
            Route(f"{one}/share", self.share, methods=["POST"]),
            Route(f"{one}/unshare", self.unshare, methods=["POST"]),
            Route(f"{one}/forget", self.forget, methods=["POST"]),
            Route(f"{one}/patch", self.patch, methods=["GET"]),
            Route(f"{one}/files/{{artifact}}", self.artifact, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """The run, on one of its tabs."""
        return await self._page(request)

    async def events(self, request: Request) -> Response:
        """What happens, for a page that is open; from the event after the last one it has."""
        viewer = await self._web.signed_in(request)
        given = request.headers.get("last-event-id") or request.query_params.get("after", "")
        after = int(given) if given.isascii() and given.isdigit() and len(given) < 16 else 0
        async with self._database.transaction() as db:
            run = await find_run(db, viewer.organization_id, _run_id(request))
        return self._streams.open(run.id, viewer.organization_id, after, item_json, figures_json)

    async def ask_to_stop(self, request: Request) -> Response:
        """Ask once more; the page behind the dialog."""
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            run = await find_run(db, viewer.organization_id, _run_id(request))
        return await self._web.page(request, "agents/stop.html", run=run)

    async def retry(self, request: Request) -> Response:
        """Start a run like this one, and go to it."""
        viewer = await self._web.signed_in(request)
        need_verified(viewer)
        run_id = _run_id(request)
        try:
            async with self._database.transaction() as db:
                run = await self._asking.retry(db, viewer.organization_id, viewer.person_id, run_id)
        except InvalidInput as error:
            return await self._page(request, error)
        return RedirectResponse(f"/agents/{run.shown_id}", status_code=303)

    async def say(self, request: Request) -> Response:
        """Tell the run something."""
        viewer = await self._web.signed_in(request)
        form, run_id = await read_form(request), _run_id(request)
        try:
            async with self._database.transaction() as db:
                text = form.get("message", "").replace("\r\n", "\n")
                await wishes.say(db, viewer.organization_id, viewer.person_id, run_id, text)
        except (InvalidInput, WrongState, NotEnoughCredits) as error:
            return await self._page(request, error)
        return self._back(request)

    async def change_cap(self, request: Request) -> Response:
        """Allow the run more, or less."""
        viewer = await self._web.signed_in(request)
        form, run_id = await read_form(request), _run_id(request)
        try:
            cap = read_cap(form.get("cap_usd", "").strip())
            if cap is None:
                raise InvalidInput(say("Say how much the run may cost at most."), field="cap_usd")  # noqa: TRY301 -- one way out
            async with self._database.transaction() as db:
                await wishes.change_cap(db, viewer.organization_id, run_id, cap)
        except InvalidInput as error:
            return await self._page(request, error)
        return self._back(request)

    async def bring(self, request: Request) -> Response:
        """Have its work brought to GitHub."""
        viewer = await self._web.signed_in(request)
        try:
            async with self._database.transaction() as db:
                run = await find_run(db, viewer.organization_id, _run_id(request))
                if self._bringing is None:
                    raise WrongState(say("GitHub is not set up on this Pouch."))  # noqa: TRY301 -- one way out
                await self._bringing.bring(db, viewer.organization_id, run.id)
        except WrongState as error:
            return await self._page(request, error)
        return self._back(request)

    async def share(self, request: Request) -> Response:
        """Make a link to the run, and show it this once."""
        viewer = await self._web.signed_in(request)
        need_verified(viewer)
        async with self._database.transaction() as db:
            token = await share(db, viewer.organization_id, viewer.person_id, _run_id(request))
        return await self._page(request, link=f"{self._web.settings.url}/shared/runs/{token}")

    async def unshare(self, request: Request) -> Response:
        """Let no link to the run work any more."""
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            await end_links(db, viewer.organization_id, _run_id(request))
        return self._back(request)

    async def forget(self, request: Request) -> Response:
        """Delete what the run said and left. Its bill stays."""
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            await forget_run(db, viewer.organization_id, _run_id(request))
        return self._back(request)

    async def patch(self, request: Request) -> Response:
        """The work as a patch."""
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            run = await find_run(db, viewer.organization_id, _run_id(request))
            found = await newest(db, run.id, "patch")
        if found is None:
            raise NotFound(say("This run has changed nothing that was saved."))
        return self._download(found)

    async def artifact(self, request: Request) -> Response:
        """Something that the run left."""
        viewer = await self._web.signed_in(request)
        artifact_id = read_id("art", request.path_params["artifact"])
        async with self._database.transaction() as db:
            run = await find_run(db, viewer.organization_id, _run_id(request))
            if artifact_id is None:
                raise NotFound(say("There is no such file."))
            found = await find_artifact(db, run.id, artifact_id)
        return self._download(found)

    def _download(self, artifact: Artifact) -> Response:
        return StreamingResponse(
            content_of(self._database, artifact),
            media_type="application/octet-stream",
            headers={"content-disposition": f'attachment; filename="{artifact.name}"'},
        )

    def _acting(self, act: Act) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            viewer = await self._web.signed_in(request)
            async with self._database.transaction() as db:
                await act(db, viewer.organization_id, _run_id(request))
            return self._back(request)

        return answer

    def _back(self, request: Request) -> Response:
        return RedirectResponse(f"/agents/{request.path_params['run']}", status_code=303)

    async def _page(self, request: Request, error: PouchError | None = None, link: str = "") -> Response:
        viewer = await self._web.signed_in(request)
        tab = next((each for each in get_args(Tab) if request.query_params.get("tab") == each), "timeline")
        run_id = _run_id(request)
        async with self._database.transaction() as db:
            run = await find_run(db, viewer.organization_id, run_id)
            now = await clock(db)
            bill = await bill_of(db, counted(run, now), now)
            is_all = "all" in request.query_params
            events = (
                await events_after(db, run.id, 0, limit=10_000)
                if is_all
                else await last_events(db, run.id, limit=EVENTS_SHOWN)
            )
            calls = await calls_with(db, run.organization_id, await keys_of(db, run.id))
            logs = printed(await printing_events(db, run.id)) if tab == "logs" else []
            artifacts = await list_artifacts(db, run.id)
            links = await count_links(db, run.id)
            who = await find_person_with_id(db, PersonId(run.person_id))
            publication = await read_publication(db, run.id)
            can_bring = self._bringing is not None and await self._bringing.is_possible(db, run)
        files, is_cut = await self._diff(run, artifacts) if tab == "diff" else ([], False)
        problem = problem_of(error) if error else None
        return await self._web.page(
            request,
            "agents/run.html",
            problem.status if problem else 200,
            run=bill.run,
            bill=bill,
            tab=tab,
            # What earlier steps cost stands with them, where they are shown.
            items=items_of(events, [each for each in calls if is_all or (events and each[0] >= events[0].at)]),
            logs=logs,
            earlier=events[0].seq - 1 if events and not is_all else 0,
            last_seq=events[-1].seq if events else 0,
            artifacts=artifacts,
            has_patch=any(each.kind == "patch" for each in artifacts),
            files=files,
            is_cut=is_cut,
            who=who.email if who is not None else "",
            publication=publication,
            can_bring=can_bring,
            is_resting=run.state in RESTING,
            can_go_on=not run.is_over or (run.ran_s < run.time_limit_s and run.task != FORGOTTEN),
            question=await self._question(run),
            first_minute=first_minute(run.price_per_hour),
            icons=ICONS,
            link=link,
            links=links,
            message=problem.text if problem else "",
        )

    async def _question(self, run: Run) -> str:
        """What a run that waits for its person asked."""
        if run.state != "waiting_user":
            return ""
        async with self._database.transaction() as db:
            return await last_question(db, run.id)

    async def _diff(self, run: Run, artifacts: list[Artifact]) -> tuple[list[FileDiff], bool]:
        patch = next((each for each in artifacts if each.kind == "patch" and each.run_id == run.id), None)
        if patch is None:
            return [], False
        text = (await read_whole(self._database, patch, PATCH_BYTES_MAX)).decode("utf-8", "replace")
        files, is_cut = read_patch(text)
        return files, is_cut or patch.size > PATCH_BYTES_MAX


def _run_id(request: Request) -> UUID:
    run_id = read_id("run", request.path_params["run"])
    if run_id is None:
        raise NotFound(say("There is no such run."))
    return run_id
