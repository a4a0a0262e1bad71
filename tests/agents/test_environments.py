"""Environments: secrets are sealed, opened for the run alone, and never shown; and sealed for their own place only."""

from pathlib import Path

import pytest

from agents.house import House
from agents.local import LocalWorkshop, sample_repository
from pouch.agents.environments import (
    find_environment,
    list_environments,
    place_of,
    remove_environment,
    save_environment,
    set_value,
)
from pouch.agents.events import events_after
from pouch.agents.jobs import AgentJobs
from pouch.agents.start import Asked, Starter, start_run
from pouch.agents.types import Run
from pouch.agents.workshop import Place
from pouch.base.database import Connection
from pouch.base.errors import Conflict, InvalidInput, NotFound
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.base.sealing import CannotOpen, Seal
from pouch.base.secret_keys import SecretKeys

pytestmark = pytest.mark.anyio

SEAL = Seal(SecretKeys("the operator's secret"), "agent-environments")


async def test_secrets_are_sealed_in_the_database_and_open_for_a_run(house: House) -> None:
    async with house.database.transaction() as db:
        organization = house.alice.organization_id
        id_ = await save_environment(
            db,
            organization,
            environment_id=None,
            name="Shop",
            commands="# first\nmake\n",
            hosts="b.example, a.example",
        )
        found = await find_environment(db, organization, id_)
        await set_value(db, SEAL, found, "MODE", "variable", "test")
        await set_value(db, SEAL, found, "TOKEN", "setup", "very secret token")
        await set_value(db, SEAL, found, "LICENCE", "run", "licence number")
        rows = await db.execute("SELECT string_agg(v::text, '') FROM agent_environment_values AS v")
        ((stored,),) = await rows.fetchall()
        assert "secret" not in stored
        place = await place_of(db, SEAL, organization, id_)
        shown = (await list_environments(db, organization))[0]
    assert place.commands == ("make",)
    assert place.hosts == ("b.example", "a.example")
    assert (place.variables, place.setup_secrets, place.run_secrets) == (
        {"MODE": "test"},
        {"TOKEN": "very secret token"},
        {"LICENCE": "licence number"},
    )
    assert shown.values == (("LICENCE", "run", ""), ("MODE", "variable", "test"), ("TOKEN", "setup", ""))


async def test_another_secret_key_and_another_row_open_nothing() -> None:
    sealed = SEAL.seal("very secret", "one")
    assert SEAL.open(sealed, "one") == "very secret"
    with pytest.raises(CannotOpen):
        SEAL.open(sealed, "two")
    with pytest.raises(CannotOpen):
        Seal(SecretKeys("somebody else's secret"), "agent-environments").open(sealed, "one")
    with pytest.raises(CannotOpen):
        SEAL.open(bytes([sealed[0] ^ 1]) + sealed[1:], "one")
    renewed = Seal(SecretKeys("a new secret of theirs", ["the operator's secret"]), "agent-environments")
    assert renewed.open(sealed, "one") == "very secret"


@pytest.mark.parametrize("name", ["PATH", "LD_PRELOAD", "GIT_SSH_COMMAND", "openai_api_key", "a-b", "1A", ""])
async def test_what_pouch_sets_itself_cannot_be_set(house: House, name: str) -> None:
    async with house.database.transaction() as db:
        organization = house.alice.organization_id
        id_ = await save_environment(db, organization, environment_id=None, name="Shop", commands="", hosts="")
        found = await find_environment(db, organization, id_)
        with pytest.raises(InvalidInput):
            await set_value(db, SEAL, found, name, "variable", "value")


async def test_names_are_taken_once_and_come_free_again(house: House) -> None:
    organization = house.alice.organization_id
    async with house.database.transaction() as db:
        id_ = await save_environment(db, organization, environment_id=None, name="Shop", commands="", hosts="")
        with pytest.raises(Conflict):
            await save_environment(db, organization, environment_id=None, name=" Shop ", commands="", hosts="")
        with pytest.raises(NotFound):
            await find_environment(db, new_id(), id_)
        await remove_environment(db, await find_environment(db, organization, id_))
        await save_environment(db, organization, environment_id=None, name="Shop", commands="", hosts="")


async def test_a_run_is_prepared_by_its_environment_and_says_none_of_its_secrets(house: House, tmp_path: Path) -> None:
    repository = await sample_repository(tmp_path / "sample")
    async with house.database.transaction() as db:
        organization = house.alice.organization_id
        id_ = await save_environment(
            db, organization, environment_id=None, name="Shop", commands='echo "$TOKEN $MODE" > made', hosts=""
        )
        found = await find_environment(db, organization, id_)
        await set_value(db, SEAL, found, "MODE", "variable", "test")
        await set_value(db, SEAL, found, "TOKEN", "setup", "very secret token")
        await set_value(db, SEAL, found, "LICENCE", "run", "licence number")
        asked = Asked("coder", "Look", repository, "", Money.parse("1"), 600, environment_id=id_)
        run, _ = await start_run(db, Starter(organization, house.alice.id, "api", "k"), asked, house.model)

    async def place(db: Connection, run: Run) -> Place:
        return await place_of(db, SEAL, run.organization_id, run.environment_id)

    says = "import os; print(open('made').read(), os.environ['LICENCE'], os.environ.get('TOKEN'))"
    workshop = LocalWorkshop(tmp_path / "attempts", says)
    await AgentJobs(house.database, workshop, gateway_url="http://127.0.0.1:9", place_of=place).work_on(run.id)
    assert (await house.run(run)).state == "succeeded"
    async with house.database.transaction() as db:
        said = [each.body for each in await events_after(db, run.id, 0) if each.type == "log"]
    assert said[0]["text"] == "[secret removed] test"
    assert said[1]["text"] == " [secret removed] None"


async def test_secrets_that_cannot_be_opened_end_a_run_for_nothing(house: House, tmp_path: Path) -> None:
    """The operator's secret key was lost: the run says so instead of running without."""
    async with house.database.transaction() as db:
        organization = house.alice.organization_id
        id_ = await save_environment(db, organization, environment_id=None, name="Shop", commands="", hosts="")
        await set_value(db, SEAL, await find_environment(db, organization, id_), "TOKEN", "run", "very secret token")
        asked = Asked("coder", "Look", "https://git.example.com/a.git", "", Money.parse("1"), 600, environment_id=id_)
        run, _ = await start_run(db, Starter(organization, house.alice.id, "api", "k"), asked, house.model)
    other = Seal(SecretKeys("somebody else's secret"), "agent-environments")

    async def place(db: Connection, run: Run) -> Place:
        return await place_of(db, other, run.organization_id, run.environment_id)

    workshop = LocalWorkshop(tmp_path / "attempts", "")
    await AgentJobs(house.database, workshop, gateway_url="http://127.0.0.1:9", place_of=place).work_on(run.id)
    done = await house.run(run)
    assert (done.state, done.reason) == ("failed", "environment_closed")
    assert (await house.funds()).posted == Money.parse("10")
