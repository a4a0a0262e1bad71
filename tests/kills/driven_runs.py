"""Customers whose runs are driven to their end while everything dies: started, paid for, resumed, asked to go on."""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx

from kills.books import connected
from kills.buyers import PASSWORD, TRY_AGAIN_S, Buyer
from pouch.base.money import Money
from pouch.identity.keys import add_key
from pouch.identity.passwords import Passwords
from pouch.identity.people import add_person
from support.pouch import RunningPouch
from support.upstream import Exchange, FakeUpstream, chunk, usage, usage_chunk

MODEL = "up/dear"
STEPS = 5
TOKENS = 100
CALL = Money.parse("0.10")
"""What each call costs: a hundred tokens at a thousandth of a dollar. What somebody has at first is not one run's."""
ENOUGH = Decimal("0.40")
"""Below it a customer whose run waits for credits buys some."""
OVER = {"succeeded", "failed", "canceled", "timed_out", "interrupted"}
LOOK_EVERY_S = 0.4
TASK = re.compile(r"Do task ?\d*\.")
DONE = re.compile(r"(?<!echo )committed (\d+)")


def toml(upstream: FakeUpstream, *, more: str = "") -> str:
    """A Pouch that sells one dear model of the test's own, for play money."""
    return f"""
[credits]
purchase_min_usd = "1.00"
[agents]
running_max = 4
{more}
[agents.limits]
disk_mib = 64
[payments]
processor = "embedded"
[embedded]
i_know_this_is_play_money = true
[[upstreams]]
id = "up"
kind = "openai"
base_url = "{upstream.url}"
[[models]]
id = "{MODEL}"
upstream = "up"
upstream_model = "dear"
name = "Dear"
context_window = 200000
max_tokens = 128
price = {{ input = "0.01", output = "1000" }}
"""


@dataclass
class Coder:
    """The model: one commit with each call, then the end. It remembers nothing but what it is shown.

    Each call commits a number of its own. One that it is shown as done lies in the workspace, so it must be in what
    is kept in the end.
    """

    steps: int = STEPS
    pause_s: float = 0.3
    answered: int = 0
    done: dict[str, set[int]] = field(default_factory=dict)
    """The numbers that it saw done, by the task."""

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one call."""
        done = sum(message.get("role") == "tool" for message in exchange.body["messages"])
        shown = json.dumps(exchange.body["messages"])
        if task := TASK.search(shown):
            self.done.setdefault(task[0], set()).update(int(number) for number in DONE.findall(shown))
        number = self.answered
        commit = f"echo {number} >> work.txt; git add -A; git commit -qm 'Step {done}' && echo committed {number}"
        command = f"{commit}; sleep {self.pause_s}"
        call = {"name": "bash", "arguments": json.dumps({"command": command if done < self.steps else "submit done"})}
        delta: dict[str, object] = {
            "tool_calls": [{"index": 0, "id": f"call_{done}", "type": "function", "function": call}]
        }
        self.answered += 1
        events = [chunk(delta), chunk({}, "tool_calls"), usage_chunk(usage(100, TOKENS)), b"[DONE]"]
        await exchange.stream(events)


@dataclass
class Customer:
    """One person who lets agents work, and sees to it that all of their runs come to their end."""

    email: str
    buyer: Buyer
    api: httpx.AsyncClient
    runs: dict[str, str] = field(default_factory=dict)
    """Each run's id, and the state that it came to."""
    waited: int = 0
    """How often a run of theirs waited for credits."""
    waited_within: int = 0
    """How often in the middle of its work."""
    interrupted: int = 0
    """How often a run's machine was lost, and it was told to go on."""
    purchases: int = 0
    _buying: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, name: str, repository: str, places: asyncio.Semaphore) -> None:
        """Start one, when there is a place for it, and stay with it until it is over."""
        async with places:
            await self._run(name, repository)

    async def _run(self, name: str, repository: str) -> None:
        await self.see_through(await self.start(name, repository))

    async def start(self, name: str, repository: str) -> str:
        """Start one: its id."""
        asked = {"agent": "coder", "task": f"Do {name}.", "repository": repository, "model": MODEL, "cap_usd": "9"}
        answer = await self._ask("POST", "/api/v1/agent-runs", asked, key=name, is_owed=True)
        assert answer.status_code in {200, 201}, answer.text
        return str(answer.json()["id"])

    async def look(self, path: str) -> Any:
        """What is at a path of the API."""
        return (await self._ask("GET", path)).json()

    async def see_through(self, run_id: str) -> None:
        """Stay with one until it is over."""
        path = f"/api/v1/agent-runs/{run_id}"
        while True:
            run = (await self._ask("GET", path)).json()
            if run["state"] == "interrupted":
                self.interrupted += 1
                await self._ask("POST", f"{path}/messages", {"text": "Go on."}, is_owed=True)
            elif run["state"] in OVER:
                self.runs[run_id] = run["state"]
                return
            if run["state"] == "paused_no_credit":
                assert run["reason"] == "credits", run
                self.waited += 1
                self.waited_within += "running" in run["bill"]["seconds"]
                await self._buy()
                await self._ask("POST", f"{path}/resume")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _buy(self) -> None:
        async with self._buying:
            while await self._available() < ENOUGH:
                self.purchases += 1
                await self.buyer.buy(Money.parse("1"))
                before = asyncio.get_running_loop().time()
                # The processor tells Pouch; when that was away, it tells it again.
                while await self._available() < ENOUGH and asyncio.get_running_loop().time() < before + 10:
                    await asyncio.sleep(TRY_AGAIN_S)

    async def _available(self) -> Decimal:
        funds = (await self._ask("GET", "/api/v1/credits")).json()["data"]
        return Decimal(str(funds["total_credits"])) - Decimal(str(funds["total_usage"]))

    async def _ask(
        self, method: str, path: str, body: object = None, *, key: str = "", is_owed: bool = False
    ) -> httpx.Response:
        """Ask until it is answered; `is_owed`: buy what it lacks."""
        headers = {"idempotency-key": key} if key else {}
        while True:
            try:
                answer = await self.api.request(method, path, json=body, headers=headers)
            except (httpx.HTTPError, AttributeError):  # uvloop: a connection that is reset while it is made has no peer
                await asyncio.sleep(TRY_AGAIN_S)
                continue
            if is_owed and answer.status_code == 402:
                await self._buy()
            elif answer.status_code < 500 and answer.status_code != 429:
                return answer
            await asyncio.sleep(TRY_AGAIN_S)


@asynccontextmanager
async def customers(
    pouch: RunningPouch, emails: list[str], rng: random.Random, *, usd: str
) -> AsyncIterator[list[Customer]]:
    """Operators with so many dollars each, a browser to buy more with, and a key for their agents."""
    hashed = await Passwords().hash(PASSWORD)
    made: list[Customer] = []
    async with connected(pouch.ends.database_url) as db:
        for email in emails:
            person = await add_person(db, email, hashed, verified=True, operator=True, welcome=Money.parse(usd))
            _, secret = await add_key(db, person, "agents", scopes=("agents", "inference"))
            browser = httpx.AsyncClient(base_url=pouch.url, headers={"origin": pouch.url}, timeout=30, trust_env=False)
            api = httpx.AsyncClient(
                base_url=pouch.url, headers={"authorization": f"Bearer {secret}"}, timeout=30, trust_env=False
            )
            made.append(Customer(email, Buyer(email, browser, rng), api))
    try:
        for each in made:
            await each.buyer.sign_in()
        yield made
    finally:
        for each in made:
            await each.buyer.browser.aclose()
            await each.api.aclose()
