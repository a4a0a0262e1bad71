"""Ending the processes of a running Pouch with SIGKILL: nobody gets the chance to tidy up."""

import asyncio
import contextlib
import os
import random
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, assert_never

import psycopg

from support.pouch import POLL_S, ChildName, RunningPouch

Victim = Literal["serve", "work", "backend", "postgres", "up", "everything"]
"""backend: the ledger's own connection. postgres: the server with all its processes."""

_LEDGER_BACKEND = "SELECT pid FROM pg_stat_activity WHERE application_name = 'pouch ledger'"


def order_of(rng: random.Random, victims: dict[Victim, int]) -> list[Victim]:
    """So many of each, in random order."""
    order = [victim for victim, count in victims.items() for _ in range(count)]
    rng.shuffle(order)
    return order


async def kill(pouch: RunningPouch, victim: Victim) -> datetime:
    """Kill it, as soon as it runs: when it was dead. What `up` keeps comes back by itself; `up` is started here."""
    match victim:
        case "serve" | "work":
            os.kill(await _child(pouch, victim), signal.SIGKILL)
        case "backend":
            await _kill_backend(pouch)
        case "postgres":
            _kill_server(await _child(pouch, "postgres"))
        case "up":
            await asyncio.to_thread(pouch.kill)
            died_at = datetime.now(UTC)
            await asyncio.to_thread(pouch.start)
            return died_at
        case "everything":
            children = pouch.children()
            await asyncio.to_thread(pouch.kill)
            for name, pid in children.items():
                if name == "postgres":
                    _kill_server(pid)
                else:
                    os.kill(pid, signal.SIGKILL)
            died_at = datetime.now(UTC)
            await asyncio.to_thread(pouch.start)
            return died_at
        case _:
            assert_never(victim)
    return datetime.now(UTC)


async def _child(pouch: RunningPouch, name: ChildName) -> int:
    while (pid := pouch.children().get(name)) is None:
        await asyncio.sleep(POLL_S)
    return pid


async def _kill_backend(pouch: RunningPouch) -> None:
    while True:
        with contextlib.suppress(psycopg.OperationalError, ProcessLookupError):  # it may be away already
            async with await psycopg.AsyncConnection.connect(pouch.ends.database_url, autocommit=True) as db:
                found = await (await db.execute(_LEDGER_BACKEND)).fetchone()
                if found is not None:
                    os.kill(found[0], signal.SIGKILL)
                    return
        await asyncio.sleep(POLL_S)


def _kill_server(pid: int) -> None:
    # The first one first: it would tell the others, and they would write what they have.
    for process in (pid, *_children_of(pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found
