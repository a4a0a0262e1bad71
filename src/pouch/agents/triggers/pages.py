"""/agents/automations/triggers: what starts runs from outside: the connections, and the rules."""

from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pouch.agents import workers
from pouch.agents.asking import read_cap, read_minutes, read_ref
from pouch.agents.environments import find_environment, list_environments
from pouch.agents.kinds import profiles, read_kind
from pouch.agents.triggers.github.connecting import CALLBACK, Connecting, Outcome
from pouch.agents.triggers.github.installations import Visit, disconnect, list_installations, login_of
from pouch.agents.triggers.rules import New, Rule, add_rule, find_rule, list_rules, remove_rule, switch_rule
from pouch.agents.triggers.types import Source
from pouch.agents.triggers.words import HAPPENING_WORDS, SOURCE_WORDS
from pouch.agents.types import KINDS
from pouch.base.database import Connection, Database
from pouch.base.errors import InvalidInput, NotAllowed, NotFound, PouchError
from pouch.base.ids import read_id
from pouch.base.languages import say
from pouch.catalog.types import Model
from pouch.identity.organizations import role_of
from pouch.identity.verification import need_verified
from pouch.web.forms import read_form
from pouch.web.pages import Web
from pouch.web.problems import problem_of
from pouch.web.security import content_policy
from pouch.web.viewer import Viewer

PATH = "/agents/automations/triggers"
GITHUB = "/agents/automations/github"
MAY_CONNECT = frozenset({"owner", "admin"})


class TriggerPages:
    """The triggers of an organization."""

    def __init__(  # noqa: PLR0913 -- what is set up here, by name
        self,
        web: Web,
        database: Database,
        *,
        models: Callable[[], Sequence[Model]],
        check_address: Callable[[str, bool], None],
        sources: Sequence[Source],
        connecting: Connecting | None,
        web_base: str = "",
        slug: str = "",
    ) -> None:
        self._web = web
        self._database = database
        self._models = models
        self._check_address = check_address
        self._sources = tuple(sources)
        self._connecting = connecting
        self._web_base = web_base
        self._slug = slug

    def routes(self) -> list[Route]:
        """Where it is."""
        one = f"{PATH}/{{trigger}}"
        return [
            Route(PATH, self.list, methods=["GET"]),
            Route(PATH, self.add, methods=["POST"]),
            Route(f"{one}/switch", self.switch, methods=["POST"]),
            Route(f"{one}/delete", self.delete, methods=["POST"]),
            Route(f"{GITHUB}/connect", self.connect, methods=["POST"]),
            Route(CALLBACK, self.back, methods=["GET"]),
            Route(f"{GITHUB}/{{installation}}/disconnect", self.disconnect, methods=["POST"]),
        ]

    async def list(self, request: Request) -> Response:
        """The connections, the rules, and the form that makes one."""
        return await self._page(request)

    async def add(self, request: Request) -> Response:
        """Make a rule. What could never start is refused here."""
        viewer = await self._web.signed_in(request)
        need_verified(viewer)
        form = await read_form(request)
        try:
            new = self._read(form, viewer)
            async with self._database.transaction() as db:
                if new.environment_id is not None:
                    await find_environment(db, viewer.organization_id, new.environment_id)
                await add_rule(db, viewer.organization_id, viewer.person_id, new)
        except (InvalidInput, NotFound) as error:
            return await self._page(request, error, form)
        return RedirectResponse(PATH, status_code=303)

    async def switch(self, request: Request) -> Response:
        """Switch one on or off."""
        viewer = await self._web.signed_in(request)
        form = await read_form(request)
        async with self._database.transaction() as db:
            await switch_rule(db, await self._find(db, viewer, request), is_on=form.get("on") == "1")
        return RedirectResponse(PATH, status_code=303)

    async def delete(self, request: Request) -> Response:
        """Take one away."""
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            await remove_rule(db, await self._find(db, viewer, request))
        return RedirectResponse(PATH, status_code=303)

    async def connect(self, request: Request) -> Response:
        """Send an owner to GitHub: to say who they are, or to install the App."""
        connecting, visit = await self._visit(request)
        form = await read_form(request)
        where = connecting.begin_install(visit) if form.get("how") == "install" else connecting.begin(visit)
        return RedirectResponse(await where, status_code=303)

    async def back(self, request: Request) -> Response:
        """They come back."""
        connecting, visit = await self._visit(request)
        query = request.query_params
        try:
            outcome = await connecting.finish(visit, query.get("state", ""), query.get("code", ""))
        except InvalidInput as error:
            return await self._page(request, error)
        return await self._page(request, outcome=outcome)

    async def disconnect(self, request: Request) -> Response:
        """Let an account speak for nobody any more."""
        _, visit = await self._visit(request)
        installation_id = read_id("inst", request.path_params["installation"])
        if installation_id is None:
            raise NotFound(say("There is no such connection."))
        async with self._database.transaction() as db:
            await disconnect(db, visit.organization_id, installation_id)
        return RedirectResponse(PATH, status_code=303)

    def _read(self, form: dict[str, str], viewer: Viewer) -> New:
        read_kind(form.get("agent", "coder"))
        read_cap(form.get("cap_usd", "").strip())
        read_minutes(form.get("minutes", "").strip())
        read_ref(form.get("branch", "").strip())
        source, _, happening = form.get("happening", "").partition(":")
        if source != "github":
            self._check_address(form.get("repository", "").strip(), viewer.is_operator)
        return New(
            source,
            happening,
            place=form.get("place", ""),
            label=form.get("label", ""),
            fields=form,
            environment_id=read_id("env", form.get("environment", "")),
        )

    async def _visit(self, request: Request) -> tuple[Connecting, Visit]:
        viewer = await self._web.signed_in(request)
        need_verified(viewer)
        if self._connecting is None:
            raise NotFound(say("GitHub is not set up on this Pouch."))
        async with self._database.transaction() as db:
            role = await role_of(db, viewer.organization_id, viewer.person_id)
        if role not in MAY_CONNECT:
            raise NotAllowed(say("Only an owner of this organization connects accounts."))
        return self._connecting, Visit(viewer.organization_id, viewer.person_id, viewer.session_id)

    async def _find(self, db: Connection, viewer: Viewer, request: Request) -> Rule:
        rule_id = read_id("trig", request.path_params["trigger"])
        if rule_id is None:
            raise NotFound(say("There is no such automation."))
        return await find_rule(db, viewer.organization_id, rule_id)

    async def _page(
        self,
        request: Request,
        error: PouchError | None = None,
        typed: dict[str, str] | None = None,
        outcome: Outcome | None = None,
    ) -> Response:
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            installations = await list_installations(db, viewer.organization_id)
            found = await list_rules(db, viewer.organization_id)
            environments = await list_environments(db, viewer.organization_id)
            defaults = await profiles(db, viewer.organization_id)
            engines = await workers.engines(db)
            login = await login_of(db, viewer.person_id)
        problem = problem_of(error) if error else None
        response = await self._web.page(
            request,
            "agents/triggers.html",
            problem.status if problem else 200,
            sources=self._sources,
            installations=installations,
            rules=found,
            environments=environments,
            kinds=KINDS,
            models=self._models(),
            engines=engines,
            profiles=defaults,
            login=login,
            slug=self._slug,
            web_base=self._web_base,
            outcome=outcome,
            happening_words=HAPPENING_WORDS,
            source_words=SOURCE_WORDS,
            typed=typed or {},
            field=error.field if isinstance(error, InvalidInput) else None,
            message=problem.text if problem else "",
        )
        if self._web_base:
            # The button “Connect” leads there.
            response.headers["content-security-policy"] = content_policy(self._web.settings, self._web_base)
        return response
