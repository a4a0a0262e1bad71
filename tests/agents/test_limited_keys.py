"""The spending limit of an API key holds for the runs that it starts, and it cannot reach past it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agents.house import House
from pouch.agents import steps
from pouch.agents.api import PATH, AgentApi
from pouch.agents.asking import Asking
from pouch.agents.store import find_run
from pouch.agents.streaming import RunStreams
from pouch.agents.types import Run
from pouch.base.errors import PouchError
from pouch.base.ids import read_id
from pouch.base.money import Money
from pouch.identity.keyring import KeyRing
from pouch.identity.keys import add_key
from pouch.ledger.limits import limits_of
from pouch.ledger.operations import Refused

pytestmark = pytest.mark.anyio

ASKED = {"task": "Fix it", "repository": "https://git.harbor.example/sample.git", "cap_usd": "5.00"}


async def test_the_time_of_a_run_counts_in_the_limit_of_the_key_that_started_it(house: House) -> None:
    """A minute costs eight cents and a third: a key of ten cents pays for one, whatever the run's cap says."""
    async with program(house, limit="0.10") as (client, key_id):
        run = await started(house, client)
        assert run.key_id == key_id
        taken = await house.take(run)
        assert taken is not None
        async with house.database.transaction() as db:
            assert not isinstance(await steps.begin_to_run(db, taken.claim), Refused)
        for _ in range(5):
            await house.pass_time(run, 10)
            beat = await house.beat(taken.claim)
        assert beat.refused is not None
        assert beat.refused.source == "key_limit"
        async with house.database.transaction() as db:
            rows = await db.execute(
                "SELECT k.counts_for FROM agent_run_attempts AS a JOIN identity_keys AS k ON k.id = a.key_id "
                "WHERE a.run_id = %s",
                (run.id,),
            )
            ((counts_for,),) = await rows.fetchall()
            (limit,) = (await limits_of(db, [key_id]))[key_id]
        assert key_id in counts_for, "its calls of models count, too"
        assert limit.held > Money(0)


async def test_a_key_with_a_limit_raises_no_cap_and_lets_nothing_of_others_go_on(house: House) -> None:
    other = await house.start(cap="1")
    async with program(house, limit="0.20") as (client, _):
        run = await started(house, client)
        assert (await client.post(f"{PATH}/{run.shown_id}/cap", json={"cap_usd": "50"})).status_code == 403
        assert (await client.post(f"{PATH}/{run.shown_id}/cap", json={"cap_usd": "1"})).status_code == 200
        assert (await client.post(f"{PATH}/{run.shown_id}/messages", json={"text": "Hurry"})).status_code == 200
        for act in ("messages", "resume"):
            answer = await client.post(f"{PATH}/{other.shown_id}/{act}", json={"text": "Go on"})
            assert answer.status_code == 403, act
        assert (await client.post(f"{PATH}/{other.shown_id}/stop")).status_code == 200, "stopping costs nothing"


async def test_a_key_without_a_limit_does_what_its_scope_allows(house: House) -> None:
    other = await house.start(cap="1")
    async with program(house, limit=None) as (client, _):
        assert (await client.post(f"{PATH}/{other.shown_id}/cap", json={"cap_usd": "2"})).status_code == 200
        assert (await client.post(f"{PATH}/{other.shown_id}/messages", json={"text": "Hi"})).status_code == 200


async def started(house: House, client: httpx.AsyncClient) -> Run:
    answer = await client.post(PATH, json=ASKED)
    assert answer.status_code == 201, answer.text
    run_id = read_id("run", answer.json()["id"])
    assert run_id is not None
    async with house.database.transaction() as db:
        return await find_run(db, house.alice.organization_id, run_id)


@asynccontextmanager
async def program(house: House, *, limit: str | None) -> AsyncIterator[tuple[httpx.AsyncClient, UUID]]:
    """A program with a key of Alice's, before the API on the house's database."""
    await house.show_worker()
    async with house.database.transaction() as db:
        cap = Money.parse(limit) if limit is not None else None
        key, secret = await add_key(db, house.alice, "Robot", scopes=("agents",), limit=cap)
    model = replace(house.model, price=None)
    asking = Asking(find=lambda _: model, first=lambda: model)
    api = AgentApi(house.database, KeyRing(house.database), asking, RunStreams(house.database))

    async def problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, PouchError)
        return JSONResponse({"code": error.code}, error.status)

    app = Starlette(routes=api.routes(), exception_handlers={PouchError: problem})
    headers = {"authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t", headers=headers) as client:
        yield client, key.id
