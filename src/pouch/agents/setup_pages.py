"""/agents/set-up: what an organization sets for each kind of agent, and what all agents together may spend in a day."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pouch.agents import workers
from pouch.agents.asking import read_cap, read_minutes
from pouch.agents.hooks import hook_url, remove_hook, set_hook
from pouch.agents.kinds import CAP_DEFAULT, TIME_LIMIT_DEFAULT_S, Profile, profiles, read_kind, save_profile
from pouch.agents.start import set_day_cap
from pouch.agents.types import KINDS, agents_subject
from pouch.base.database import Database
from pouch.base.errors import InvalidInput, NotFound
from pouch.base.languages import say
from pouch.base.sealing import Seal
from pouch.catalog.types import Model
from pouch.ledger.limits import limits_of, remove_limits
from pouch.web.forms import read_form
from pouch.web.pages import Web
from pouch.web.problems import problem_of

PATH = "/agents/set-up"


class SetupPages:
    """The settings of an organization's agents. Runs under way keep what they started with."""

    def __init__(self, web: Web, database: Database, seal: Seal, *, models: Callable[[], Sequence[Model]]) -> None:
        self._seal = seal
        self._web = web
        self._database = database
        self._models = models

    def routes(self) -> list[Route]:
        """Where it is."""
        return [
            Route(PATH, self.show, methods=["GET"]),
            Route(f"{PATH}/day-cap", self.day_cap, methods=["POST"]),
            Route(f"{PATH}/hook", self.hook, methods=["POST"]),
            Route(f"{PATH}/kinds/{{kind}}", self.save, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """Every kind with its form."""
        return await self._page(request)

    async def save(self, request: Request) -> Response:
        """Set one kind."""
        viewer = await self._web.signed_in(request)
        form = await read_form(request)
        if request.path_params["kind"] not in KINDS:
            raise NotFound(say("There is no such agent."))
        try:
            model_id = form.get("model", "").strip() or None
            if model_id is not None and model_id not in {model.id for model in self._models()}:
                raise InvalidInput(say("This model is not offered here."), field="model")  # noqa: TRY301 -- one way out
            profile = Profile(
                kind=read_kind(request.path_params["kind"]),
                model_id=model_id,
                prompt=form.get("prompt", "").replace("\r\n", "\n").strip(),
                cap=read_cap(form.get("cap_usd", "").strip()) or CAP_DEFAULT,
                time_limit_s=read_minutes(form.get("minutes", "").strip()) or TIME_LIMIT_DEFAULT_S,
            )
            async with self._database.transaction() as db:
                before = (await profiles(db, viewer.organization_id))[profile.kind]
                # A form that shows no choice of engines changes none.
                engine = form.get("engine", before.engine)
                if engine not in {before.engine, *await workers.engines(db)}:
                    raise InvalidInput(say("No machine that runs agents has this engine."), field="engine")  # noqa: TRY301 -- one way out
                await save_profile(db, viewer.organization_id, replace(profile, engine=engine))
        except InvalidInput as error:
            return await self._page(request, error, request.path_params["kind"], form)
        return RedirectResponse(f"{PATH}#{profile.kind}", status_code=303)

    async def day_cap(self, request: Request) -> Response:
        """Set or lift the cap of a day for all agents together."""
        viewer = await self._web.signed_in(request)
        form = await read_form(request)
        try:
            cap = read_cap(form.get("day_cap_usd", "").strip())
        except InvalidInput as error:
            return await self._page(request, error, "day-cap", form)
        async with self._database.transaction() as db:
            if cap is None:
                await remove_limits(db, agents_subject(viewer.organization_id))
            else:
                await set_day_cap(db, viewer.organization_id, cap)
        return RedirectResponse(f"{PATH}#day-cap", status_code=303)

    async def hook(self, request: Request) -> Response:
        """Have a server of the organization told, and show the secret this once; or tell it no more."""
        viewer = await self._web.signed_in(request)
        form = await read_form(request)
        url, secret = form.get("url", "").strip(), ""
        private_hosts = [host.lower() for host in self._web.settings.file.agents.private_hosts]
        try:
            async with self._database.transaction() as db:
                if url:
                    secret = await set_hook(db, self._seal, viewer.organization_id, url, private_hosts=private_hosts)
                else:
                    await remove_hook(db, viewer.organization_id)
        except InvalidInput as error:
            return await self._page(request, error, "hook", form)
        if not secret:
            return RedirectResponse(f"{PATH}#hook", status_code=303)
        response = await self._page(request, secret=secret)
        response.headers["cache-control"] = "no-store"
        return response

    async def _page(
        self,
        request: Request,
        error: InvalidInput | None = None,
        where: str = "",
        typed: dict[str, str] | None = None,
        *,
        secret: str = "",
    ) -> Response:
        viewer = await self._web.signed_in(request)
        subject = agents_subject(viewer.organization_id)
        async with self._database.transaction() as db:
            found = await profiles(db, viewer.organization_id)
            url = await hook_url(db, viewer.organization_id)
            engines = await workers.engines(db)
            limit = next(iter((await limits_of(db, [subject])).get(subject, [])), None)
        problem = problem_of(error) if error else None
        return await self._web.page(
            request,
            "agents/set_up.html",
            problem.status if problem else 200,
            profiles=found,
            kinds=KINDS,
            models=self._models(),
            engines=engines,
            day_limit=limit,
            hook_url=url,
            hook_secret=secret,
            where=where,
            typed=typed or {},
            message=problem.text if problem else "",
        )
