"""`pouch token add` as an operator runs it for a machine where nobody sits at a browser."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from pouch.identity.organizations import add_organization
from routes.stage import Stage, opened

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stage(database_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with opened(database_url, tmp_path) as stage:
        yield stage


async def pouch(stage: Stage, *words: str) -> tuple[int, str, str]:
    """Run the command beside a running Pouch: its exit code, what it printed, what it complained of."""
    environment = os.environ | {
        "POUCH_DATA_DIR": str(stage.settings.data_dir),
        "POUCH_DATABASE_URL": stage.database.url,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pouch.cli",
        "token",
        *words,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    return process.returncode or 0, said.decode(), complained.decode()


async def settings_of(stage: Stage, token: str) -> httpx.Response:
    async with stage.client() as http:
        return await http.get("/api/extension-settings", headers={"authorization": f"Bearer {token}"})


async def test_a_token_is_all_that_is_printed_and_works_until_it_is_ended(stage: Stage) -> None:
    alice = await stage.somebody()
    code, said, complained = await pouch(stage, "add", alice.email, "--days", "30")
    assert (code, complained) == (0, "")
    token = said.strip()
    assert said == f"{token}\n"
    assert (await settings_of(stage, token)).status_code == 200

    async with stage.client() as http:
        headers = stage.headers(alice)
        page = (await http.get("/settings", headers=headers)).text
        assert "Static token, 30 days" in page
        before = page[: page.index("Static token, 30 days")].count("/settings/devices/")
        action = page.split('action="/settings/devices/')[before + 1].split('"')[0]
        ended = await http.post(f"/settings/devices/{action}", headers=headers)
        assert ended.status_code == 303
    assert (await settings_of(stage, token)).status_code == 401


async def test_it_may_act_for_an_organization_of_the_person_only(stage: Stage) -> None:
    alice, carol = await stage.somebody(), await stage.somebody()
    async with stage.database.transaction() as db:
        await add_organization(db, "Harbor", alice.person)
    code, said, _ = await pouch(stage, "add", alice.email, "--org", "Harbor")
    assert code == 0
    assert (await settings_of(stage, said.strip())).status_code == 200

    code, said, complained = await pouch(stage, "add", carol.email, "--org", "Harbor")
    assert (code, said) == (1, "")
    assert f"{carol.email} belongs to no organization Harbor." in complained


async def test_somebody_unknown_gets_none(stage: Stage) -> None:
    code, said, complained = await pouch(stage, "add", "nobody@harbor.example")
    assert (code, said) == (1, "")
    assert "Nobody is registered as nobody@harbor.example." in complained
