"""/api/v1/agent-runs: what a key with the scope `agents` may do with its organization's runs."""

from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from pouch.agents import wishes
from pouch.agents.artifacts import content_of, find_artifact, list_artifacts, newest
from pouch.agents.asking import Asking, read_cap
from pouch.agents.bill import bill_of
from pouch.agents.errors import WrongState
from pouch.agents.events import events_after
from pouch.agents.meter import counted
from pouch.agents.shown import artifacts_json, event_json, figures_json, run_json
from pouch.agents.start import Starter
from pouch.agents.store import clock, find_run, list_runs
from pouch.agents.streaming import RunStreams
from pouch.agents.triggers.github.bringing import Bringing
from pouch.agents.types import STATES, Run, Trigger
from pouch.base.database import Connection, Database
from pouch.base.errors import InvalidInput, NotAllowed, NotFound, PouchError
from pouch.base.ids import new_id, read_id
from pouch.identity.keyring import KeyRing
from pouch.identity.people import find_person_with_id
from pouch.identity.types import Caller
from pouch.ledger.limits import limits_of

PATH = "/api/v1/agent-runs"
SCOPE = "agents"
BODY_BYTES_MAX = 256 * 1024
EVENTS_MAX = 500
LISTED_MAX = 100

Act = Callable[[Connection, UUID, UUID], Awaitable[Run]]


class UnknownKey(PouchError):
    """No key came with the request, or one that is not in force."""

    code = "unknown_key"
    status = 401


class AgentApi:
    """Starts, shows and steers runs for programs. Errors are problem JSON, as everywhere under /api."""

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        asking: Asking,
        streams: RunStreams,
        bringing: Bringing | None = None,
    ) -> None:
        self._bringing = bringing
        self._database = database
        self._keys = keys
        self._asking = asking
        self._streams = streams

    def routes(self) -> list[Route]:
        """Where it is."""
        one = f"{PATH}/{{run}}"
        return [
            Route(PATH, self.start, methods=["POST"]),
            Route(PATH, self.list, methods=["GET"]),
            Route(f"{PATH}/stop-all", self.stop_all, methods=["POST"]),
            Route(one, self.show, methods=["GET"]),
            Route(f"{one}/events", self.events, methods=["GET"]),
            Route(f"{one}/messages", self.say, methods=["POST"]),
            Route(f"{one}/stop", self._acting(wishes.stop), methods=["POST"]),
            Route(f"{one}/pause", self._acting(wishes.pause), methods=["POST"]),
            Route(f"{one}/resume", self._acting(wishes.resume, spends=True), methods=["POST"]),
            Route(f"{one}/retry", self.retry, methods=["POST"]),
            Route(f"{one}/cap", self.change_cap, methods=["POST"]),
            Route(f"{one}/pull-request", self._acting(self._bring), methods=["POST"]),
            Route(f"{one}/patch", self.patch, methods=["GET"]),
            Route(f"{one}/artifacts", self.artifacts, methods=["GET"]),
            Route(f"{one}/artifacts/{{artifact}}", self.artifact, methods=["GET"]),
        ]

    async def start(self, request: Request) -> Response:
        """Start a run. The same Idempotency-Key again answers with the run that it started."""
        caller = await self._caller(request)
        body = await _read(request)
        key = request.headers.get("idempotency-key", "") or new_id().hex
        trigger: Trigger = "cli" if request.headers.get("x-pouch-client") == "cli" else "api"
        starter = Starter(caller.organization_id, caller.person_id, trigger, f"api:{key}", key_id=caller.key_id)
        async with self._database.transaction() as db:
            person = await find_person_with_id(db, caller.person_id)
            is_operator = person is not None and person.is_operator
            run, is_new = await self._asking.start(db, starter, _texts(body), is_operator=is_operator)
        return _answer(run_json(run), 201 if is_new else 200)

    async def list(self, request: Request) -> Response:
        """The newest runs first; `before` is the number of the last one of the page before, `state` one state."""
        caller = await self._caller(request)
        query = request.query_params
        state = query.get("state")
        if state is not None and state not in STATES:
            raise InvalidInput(f"state is one of {', '.join(STATES)}.", field="state")
        before = _number(query.get("before"), "before")
        async with self._database.transaction() as db:
            runs = await list_runs(
                db,
                caller.organization_id,
                states=[state] if state else None,
                before=before,
                limit=min(_number(query.get("limit"), "limit") or 20, LISTED_MAX),
            )
        return _answer({"runs": [run_json(run) for run in runs]})

    async def show(self, request: Request) -> Response:
        """One run with its bill."""
        caller = await self._caller(request)
        async with self._database.transaction() as db:
            run = await find_run(db, caller.organization_id, _run_id(request))
            now = await clock(db)
            bill = await bill_of(db, counted(run, now), now)
        return _answer(run_json(bill.run, bill))

    async def events(self, request: Request) -> Response:
        """What happened after `after`: as JSON, or as a stream when that is asked for."""
        caller = await self._caller(request)
        after = _number(request.headers.get("last-event-id") or request.query_params.get("after"), "after") or 0
        async with self._database.transaction() as db:
            run = await find_run(db, caller.organization_id, _run_id(request))
            if "text/event-stream" not in request.headers.get("accept", ""):
                found = await events_after(db, run.id, after, limit=EVENTS_MAX)
                events = [event_json(each) for each in found]
                return _answer({"events": events, "state": run.state, "is_over": run.is_over})
        return self._streams.open(run.id, caller.organization_id, after, event_json, figures_json)

    async def say(self, request: Request) -> Response:
        """Tell a run something."""
        caller = await self._caller(request)
        text = _texts(await _read(request)).get("text", "")
        async with self._database.transaction() as db:
            await _check_reach(db, caller, _run_id(request))
            run = await wishes.say(db, caller.organization_id, caller.person_id, _run_id(request), text)
        return _answer(run_json(run))

    async def retry(self, request: Request) -> Response:
        """Start a run like one that is over."""
        caller = await self._caller(request)
        async with self._database.transaction() as db:
            run = await self._asking.retry(
                db, caller.organization_id, caller.person_id, _run_id(request), key_id=caller.key_id
            )
        return _answer(run_json(run), 201)

    async def change_cap(self, request: Request) -> Response:
        """Allow a run more, or less."""
        caller = await self._caller(request)
        cap = read_cap(_texts(await _read(request)).get("cap_usd", ""))
        if cap is None:
            raise InvalidInput("Say how much the run may cost at most.", field="cap_usd")
        async with self._database.transaction() as db:
            if (
                await _is_limited(db, caller)
                and cap > (await find_run(db, caller.organization_id, _run_id(request))).cap
            ):
                raise NotAllowed("A key with a spending limit may not raise what a run may cost.")
            run = await wishes.change_cap(db, caller.organization_id, _run_id(request), cap)
        return _answer(run_json(run))

    async def stop_all(self, request: Request) -> Response:
        """Stop every run of the organization."""
        caller = await self._caller(request)
        async with self._database.transaction() as db:
            stopped = await wishes.stop_all(db, caller.organization_id)
        return _answer({"stopped": stopped})

    async def patch(self, request: Request) -> Response:
        """The work as a patch."""
        caller = await self._caller(request)
        async with self._database.transaction() as db:
            run = await find_run(db, caller.organization_id, _run_id(request))
            found = await newest(db, run.id, "patch")
        if found is None:
            raise NotFound("This run has changed nothing that was saved.")
        return StreamingResponse(content_of(self._database, found), media_type="text/x-patch; charset=utf-8")

    async def artifacts(self, request: Request) -> Response:
        """What a run left."""
        caller = await self._caller(request)
        async with self._database.transaction() as db:
            run = await find_run(db, caller.organization_id, _run_id(request))
            found = await list_artifacts(db, run.id)
        return _answer({"artifacts": artifacts_json(found)})

    async def artifact(self, request: Request) -> Response:
        """One of them."""
        caller = await self._caller(request)
        artifact_id = read_id("art", request.path_params["artifact"])
        async with self._database.transaction() as db:
            run = await find_run(db, caller.organization_id, _run_id(request))
            if artifact_id is None:
                raise NotFound("There is no such file.")
            found = await find_artifact(db, run.id, artifact_id)
        return StreamingResponse(
            content_of(self._database, found),
            media_type="application/octet-stream",
            headers={"content-disposition": f'attachment; filename="{found.name}"'},
        )

    async def _bring(self, db: Connection, organization_id: UUID, run_id: UUID) -> Run:
        run = await find_run(db, organization_id, run_id)
        if self._bringing is None:
            raise WrongState("GitHub is not set up on this Pouch.")
        return await self._bringing.bring(db, organization_id, run.id)

    def _acting(self, act: Act, *, spends: bool = False) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            caller = await self._caller(request)
            async with self._database.transaction() as db:
                if spends:
                    await _check_reach(db, caller, _run_id(request))
                run = await act(db, caller.organization_id, _run_id(request))
            return _answer(run_json(run))

        return answer

    async def _caller(self, request: Request) -> Caller:
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        secret = secret.strip() if kind.lower() == "bearer" else request.headers.get("x-api-key", "")
        caller = await self._keys.caller(secret) if secret else None
        if caller is None:
            raise UnknownKey("Send a key that is in force: Authorization: Bearer sk-pouch-…")
        if SCOPE not in caller.scopes:
            raise NotAllowed("This key may not run agents. It needs the scope agents.")
        return caller


async def _is_limited(db: Connection, caller: Caller) -> bool:
    return bool(await limits_of(db, [caller.key_id]))


async def _check_reach(db: Connection, caller: Caller, run_id: UUID) -> None:
    """What others started is paid past this key's limit, so a key with one lets none of that go on."""
    run = await find_run(db, caller.organization_id, run_id)
    if run.key_id != caller.key_id and await _is_limited(db, caller):
        raise NotAllowed("A key with a spending limit lets only those runs go on that it started.")


def _run_id(request: Request) -> UUID:
    run_id = read_id("run", request.path_params["run"])
    if run_id is None:
        raise NotFound("There is no such run.")
    return run_id


async def _read(request: Request) -> Mapping[str, object]:
    body = await request.body()
    if len(body) > BODY_BYTES_MAX:
        raise InvalidInput("This is more than a request to agents may be.")
    if not body:
        return {}
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidInput("The body is not JSON.") from None
    if not isinstance(document, dict):
        raise InvalidInput("The body must be a JSON object.")
    return document


def _texts(body: Mapping[str, object]) -> dict[str, str]:
    """The fields as text. Raises InvalidInput for one that is not."""
    found = {}
    for name, value in body.items():
        if name == "minutes" and isinstance(value, int) and not isinstance(value, bool):
            found[name] = str(value)
        elif isinstance(value, str) and "\x00" not in value:
            found[name] = value
        elif value is not None:
            raise InvalidInput(f"{name[:40]} must be text.", field=name[:40])
    return found


def _number(text: str | None, field: str) -> int | None:
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise InvalidInput(f"{field} must be a number.", field=field)
    return int(text)


def _answer(data: Mapping[str, object], status: int = 200) -> Response:
    return Response(
        orjson.dumps(data), status, media_type="application/json", headers={"cache-control": "private, no-store"}
    )
