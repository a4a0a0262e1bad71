"""Workers of one database that work on a sample repository, with the tests' own agents."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents.house import House
from agents.local import LocalWorkshop
from pouch.agents.events import RunEvent, events_after
from pouch.agents.jobs import AgentJobs
from pouch.agents.types import Run

WRITES = """
import json, pathlib, time
print(json.dumps({"type": "message", "text": "I mend the sum."}))
pathlib.Path("calc.py").write_text("def add(a, b):\\n    return a + b\\n")
time.sleep(1.2)
"""
WAITS = """
import json, pathlib, time
pathlib.Path("notes.txt").write_text("half done\\n")
print(json.dumps({"type": "message", "text": "I wait."}))
while True:
    time.sleep(0.05)
"""


class Shop:
    """Workers of one database that work on a sample repository."""

    def __init__(self, house: House, folder: Path, repository: str) -> None:
        self.house, self.folder, self.repository = house, folder, repository

    def workshop(self, agent: str, **more: Any) -> LocalWorkshop:
        return LocalWorkshop(self.folder / "attempts", agent, **more)

    def worker(self, workshop: LocalWorkshop) -> AgentJobs:
        return AgentJobs(self.house.database, workshop, gateway_url="http://127.0.0.1:9")

    async def settle_lost(self, worker: AgentJobs, run: Run) -> Run:
        """Let a worker save a lost run; again while another test's sandbox has the account of its place."""
        async with asyncio.timeout(60):
            while True:
                await worker.work_on(run.id)
                if (now := await self.house.run(run)).state != "stopping":
                    return now
                await asyncio.sleep(0.2)
                await self.house.lose_worker(run)

    async def events(self, run: Run) -> list[RunEvent]:
        async with self.house.database.transaction() as db:
            return await events_after(db, run.id, 0)

    async def until(self, run: Run, holds: Callable[[Run], bool]) -> Run:
        async with asyncio.timeout(30):
            while not holds(now := await self.house.run(run)):
                await asyncio.sleep(0.05)
        return now

    async def until_said(self, run: Run, text: str) -> None:
        async with asyncio.timeout(30):
            while not any(text in json.dumps(dict(each.body)) for each in await self.events(run)):
                await asyncio.sleep(0.05)
