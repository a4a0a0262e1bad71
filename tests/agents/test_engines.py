"""Any engine goes the way of the native one: chosen, started, kept apart, relayed, billed, told more, saved.

The program here is the tests' own and speaks as opencode does. opencode itself: `engines/test_opencode.py`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request

from agents.house import House, model_of
from pouch.agents import wishes
from pouch.agents.asking import Asking
from pouch.agents.bill import bill_of
from pouch.agents.engines.command_line import READY, CommandLine
from pouch.agents.engines.native import Native
from pouch.agents.events import events_after
from pouch.agents.jobs import AgentJobs
from pouch.agents.kinds import Profile, profiles, save_profile
from pouch.agents.machine import Machine
from pouch.agents.pages import AgentPages
from pouch.agents.sandboxes.bubblewrap import Bubblewrap
from pouch.agents.sandboxes.cloning import Sources
from pouch.agents.setup_pages import SetupPages
from pouch.agents.start import Starter
from pouch.agents.store import clock
from pouch.agents.types import KINDS, Run
from pouch.agents.workers import engines, show
from pouch.base.errors import InvalidInput
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.base.sealing import Seal
from pouch.catalog.agent_price import time_cost_nanos
from pouch.settings import Settings
from pouch.web.application import application
from pouch.web.pages import Web
from pouch.web.viewer import Header, Viewer
from support.gateway import Gateway, running_gateway
from support.sandboxes import GREETING, SMALL, needs_bubblewrap, places, repository
from support.site import Somebody
from support.upstream import Exchange, chunk, usage, usage_chunk

pytestmark = pytest.mark.anyio

HOUR = 5_000_000_000
PROGRAM = """#!/usr/bin/python3
import json, pathlib, subprocess, sys, time, urllib.request

settings = json.loads((pathlib.Path.home() / ".config/opencode/opencode.json").read_text())
base, model = settings["provider"]["pouch"]["options"]["baseURL"], settings["model"].removeprefix("pouch/")
task = sys.argv[-1]
body = {"model": model, "messages": [{"role": "user", "content": task}], "stream": True, "max_tokens": 50}
head = {"content-type": "application/json", "authorization": "Bearer placeholder"}
request = urllib.request.Request(base + "/chat/completions", json.dumps(body).encode(), head)
urllib.request.urlopen(request).read()
print(json.dumps({"type": "text", "part": {"text": "I was told: " + task}}), flush=True)
with open("done.txt", "a") as file:
    file.write("done\\n")
git = ["git", "-c", "user.name=A", "-c", "user.email=a@b.example"]
subprocess.run([*git, "add", "-A"], check=True)
subprocess.run([*git, "commit", "-qm", "Do it"], check=True)
time.sleep(1.1)
"""


@dataclass
class Street:
    """A gateway, a house, and what starts its runs."""

    gateway: Gateway
    house: House
    source: Path

    async def start(self, **fields: str) -> Run:
        asking = Asking(find=lambda _: self.house.model, first=lambda: self.house.model, check_address=lambda *_: None)
        alice = self.house.alice
        starter = Starter(alice.organization_id, alice.id, "api", new_id().hex)
        asked = {"task": "Say hello", "repository": str(self.source)} | fields
        async with self.house.database.transaction() as db:
            run, _ = await asking.start(db, starter, asked, is_operator=True)
        return run

    async def show_worker(self, *names: str) -> None:
        async with self.house.database.transaction() as db:
            await show(db, new_id(), "test", {"engines": list(names)}, 4)

    async def said(self, run: Run) -> list[str]:
        async with self.house.database.transaction() as db:
            found = await events_after(db, run.id, 0)
        return [str(each.body["text"]) for each in found if each.type == "message" and "from" not in each.body]


@pytest.fixture
async def street(database_url: str, tmp_path: Path) -> AsyncIterator[Street]:
    async with running_gateway(database_url) as gateway:
        tmp_path.chmod(0o755)
        source = repository(tmp_path / "sample", {**GREETING, "AGENTS.md": "Use tabs.\n"})
        yield Street(gateway, House(gateway.database, gateway.alice, model_of(None)), source)


@pytest.fixture
def program(tmp_path: Path) -> CommandLine:
    folder = tmp_path / "engine"
    file = folder / "node_modules" / ".bin" / "opencode"
    file.parent.mkdir(parents=True)
    file.write_text(PROGRAM)
    file.chmod(0o755)
    return CommandLine(READY["opencode"], folder)


@needs_bubblewrap
async def test_a_run_with_another_engine_is_billed_told_more_and_saved_like_every_other(
    street: Street, program: CommandLine, tmp_path: Path
) -> None:
    """From the request that names the engine to the bill; what it is told meanwhile comes with what went before."""
    house = street.house
    await street.show_worker("native", "opencode")
    run = await street.start(engine="opencode")
    calls = 0

    async def play(exchange: Exchange) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            async with house.database.transaction() as db:
                await wishes.say(db, run.organization_id, house.alice.id, run.id, "And say goodbye")
        await exchange.stream([chunk({"content": "Hm"}), chunk({}, "stop"), usage_chunk(usage(7, 3)), b"[DONE]"])

    street.gateway.upstream.script = play
    with places() as root:
        machine = Machine(
            Bubblewrap(root),
            sources=Sources(local_roots=[tmp_path]),
            limits=SMALL,
            engines={"native": Native(), "opencode": program},
            allow_unsafe=True,
        )
        await AgentJobs(house.database, machine, gateway_url=street.gateway.url).work_on(run.id)
    done = await house.run(run)
    assert (done.state, done.engine) == ("succeeded", "opencode"), done
    first, second = await street.said(run)
    assert "Use tabs." in first
    assert first.endswith("# The task\nSay hello")
    assert second.endswith("# The task\nAnd say goodbye")
    assert "You were asked:\nSay hello" in second
    assert "You said last:\nI was told: " in second
    assert done.ran_s >= 2
    assert await house.charged(run) == time_cost_nanos(done.ran_s, HOUR)
    async with house.database.transaction() as db:
        bill = await bill_of(db, done, await clock(db))
    assert [each.calls for each in bill.models] == [2]
    assert done.result["files_changed"] == 1


async def test_an_engine_is_chosen_by_the_run_else_by_its_profile_and_must_be_somewhere(street: Street) -> None:
    house = street.house
    await street.show_worker("native", "opencode")
    assert (await street.start()).engine == "native"
    async with house.database.transaction() as db:
        assert await engines(db) == ("native", "opencode")
        await save_profile(db, house.alice.organization_id, Profile("coder", engine="opencode"))
    assert (await street.start()).engine == "opencode"
    assert (await street.start(engine="native")).engine == "native"
    with pytest.raises(InvalidInput) as refused:
        await street.start(engine="roo")
    assert refused.value.field == "engine"
    async with house.database.transaction() as db:
        assert (await profiles(db, house.alice.organization_id))["coder"].engine == "opencode"


async def test_a_run_is_left_to_a_worker_that_has_its_engine(street: Street, tmp_path: Path) -> None:
    house = street.house
    await street.show_worker("native", "opencode")
    run = await street.start(engine="opencode")
    without = Machine(Bubblewrap(tmp_path), sources=Sources(), engines={"native": Native()}, allow_unsafe=True)
    await AgentJobs(house.database, without, gateway_url=street.gateway.url).work_on(run.id)
    assert (await house.run(run)).state == "queued"
    async with house.database.transaction() as db:
        await db.execute("UPDATE agent_runs SET due_at = clock_timestamp() WHERE id = %s", (run.id,))
    assert await house.take(run) is not None
    assert await house.charged(run) == 0


async def test_the_settings_page_keeps_the_engine_that_was_chosen_and_offers_what_is_there(street: Street) -> None:
    house = street.house
    path = "/agents/set-up/kinds/coder"
    async with browser_of(house) as client:
        await street.show_worker("native")
        assert 'name="engine"' not in (await client.get("/agents/set-up")).text
        await street.show_worker("native", "opencode")
        assert (await client.get("/agents/set-up")).text.count('<option value="opencode">opencode') == len(KINDS)
        assert (await client.post(path, data={"engine": "opencode"})).status_code == 303
        assert 'value="opencode" selected' in (await client.get("/agents/set-up")).text
        # A form without the choice, as it is where no machine has another engine, changes none.
        assert (await client.post(path, data={"prompt": "Use tabs"})).status_code == 303
        answer = await client.post(path, data={"engine": "perhaps"})
        assert answer.status_code == 400
        assert "No machine that runs agents has this engine." in answer.text
        assert 'name="engine"' in (await client.get("/agents")).text
    async with house.database.transaction() as db:
        kept = (await profiles(db, house.alice.organization_id))["coder"]
    assert (kept.engine, kept.prompt) == ("opencode", "Use tabs")


@asynccontextmanager
async def browser_of(house: House) -> AsyncIterator[httpx.AsyncClient]:
    """Alice's browser on the pages of agents."""
    settings = Settings(config="")
    alice = house.alice
    somebody = Somebody(alice.email, alice.id, alice.organization_id, new_id())
    web = Web(settings=settings, templates=[("pouch.agents", "templates")])

    async def find_viewer(_: Request) -> Viewer | None:
        return somebody

    async def find_header(_: Viewer) -> Header:
        return Header(available=Money(0), held=Money(0), balance=Money(0), pending=Money(0))

    web.find_viewer, web.find_header = find_viewer, find_header
    asking = Asking(find=lambda _: house.model, first=lambda: house.model)
    pages = AgentPages(web, house.database, asking, models=lambda: [house.model])
    seal = Seal(settings.secret_keys, "test")
    set_up = SetupPages(web, house.database, seal, models=lambda: [house.model])
    transport = httpx.ASGITransport(application(web, [*pages.routes(), *set_up.routes()]))
    headers = {"origin": settings.url, "sec-fetch-site": "same-origin"}
    async with httpx.AsyncClient(transport=transport, base_url=settings.url, headers=headers) as client:
        yield client
