"""Requests between operators: decided once, by another one, in time; and the constraint that says the same."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from pouch.base.database import Database
from pouch.base.errors import Conflict, NotFound
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.oversight import requests
from pouch.oversight.errors import NotNow
from pouch.oversight.types import Ask, Operator, Request

pytestmark = pytest.mark.anyio

OLGA, OTTO = Operator(new_id(), "olga@pouch.example"), Operator(new_id(), "otto@pouch.example")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, size_max=10) as database:
        yield database


async def asked(database: Database, attempt: str = "one", **wish: object) -> Request:
    wanted = Ask(attempt, "grant", Money.parse("150"), "Grant of $150.00", wish or {"to": "carol"})
    async with database.transaction() as db:
        return await requests.ask(db, OLGA, wanted)


async def test_of_many_decisions_at_once_one_counts(database: Database) -> None:
    request = await asked(database)

    async def decide(number: int) -> str:
        try:
            async with database.transaction() as db:
                act = requests.allow if number % 2 else requests.refuse
                return (await act(db, request.id, OTTO)).state
        except NotNow:
            return "late"

    said = await asyncio.gather(*(decide(number) for number in range(12)))
    (state,) = set(said) - {"late"}
    assert said.count(state) == 1
    async with database.transaction() as db:
        assert (await requests.get(db, request.id)).state == state


async def test_whoever_asked_cannot_allow_even_with_hands_on_the_database(database: Database) -> None:
    request = await asked(database)
    with pytest.raises(NotNow, match="another operator"):
        async with database.transaction() as db:
            await requests.allow(db, request.id, OLGA)
    with pytest.raises(psycopg.errors.CheckViolation, match="oversight_requests_two"):
        async with database.transaction() as db:
            await db.execute(
                "UPDATE oversight_requests SET state = 'done', decided_by = asked_by, decided_at = now() WHERE id = %s",
                (request.id,),
            )


async def test_a_form_sent_twice_is_one_request_and_another_wish_under_it_is_refused(database: Database) -> None:
    request = await asked(database)
    assert (await asked(database)).id == request.id
    with pytest.raises(Conflict, match="something else"):
        await asked(database, to="mallory")
    async with database.transaction() as db:
        assert await requests.count_waiting(db) == 1
        with pytest.raises(NotFound):
            await requests.get(db, new_id())


async def test_what_was_allowed_is_used_once_by_whoever_asked(database: Database) -> None:
    request = await asked(database)
    async with database.transaction() as db:
        await requests.allow(db, request.id, OTTO, into="allowed")

    async def use(who: Operator) -> bool:
        try:
            async with database.transaction() as db:
                await requests.use(db, request.id, who)
        except NotNow:
            return False
        return True

    assert await use(OTTO) is False
    assert sum(await asyncio.gather(*(use(OLGA) for _ in range(8)))) == 1
