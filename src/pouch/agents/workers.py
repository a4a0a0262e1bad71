"""The processes that run agents: they show themselves, so that pages and operators know whether anybody does."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb

from pouch.base.database import Connection
from pouch.base.ids import show_id

SILENT_AFTER_S = 60
NATIVE = "native"
"""The engine that every worker has."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One process that runs agents, or ran them a moment ago."""

    id: UUID
    host: str
    pid: int
    backend: str
    facts: Mapping[str, object]
    width: int
    started_at: datetime
    seen_at: datetime
    drains: bool
    is_alive: bool
    runs: int


async def show(db: Connection, worker_id: UUID, backend: str, facts: Mapping[str, object], width: int) -> None:
    """This process is there and can run agents."""
    await db.execute(
        """
        INSERT INTO agent_workers (id, host, pid, backend, facts, width) VALUES (%s, %s, %s, %s, %s, %s)
        ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp()
        """,
        (worker_id, socket.gethostname(), os.getpid(), backend, Jsonb(dict(facts)), width),
    )


async def drain(db: Connection, worker_id: UUID) -> None:
    """This process takes no more runs."""
    await db.execute("UPDATE agent_workers SET drains = true WHERE id = %s", (worker_id,))


async def leave(db: Connection, worker_id: UUID) -> None:
    """This process ends."""
    await db.execute("UPDATE agent_workers SET stopped_at = clock_timestamp() WHERE id = %s", (worker_id,))


async def are_there(db: Connection) -> bool:
    """Whether any process can take a run now."""
    rows = await db.execute(
        """
        SELECT EXISTS (SELECT 1 FROM agent_workers WHERE stopped_at IS NULL AND NOT drains
                          AND seen_at > clock_timestamp() - make_interval(secs => %s))
        """,
        (SILENT_AFTER_S,),
    )
    row = await rows.fetchone()
    return bool(row and row[0])


async def engines(db: Connection) -> tuple[str, ...]:
    """What the processes that can take a run now have to let agents work with, the native one first."""
    rows = await db.execute(
        """
        SELECT DISTINCT jsonb_array_elements_text(facts->'engines') FROM agent_workers
         WHERE stopped_at IS NULL AND NOT drains AND seen_at > clock_timestamp() - make_interval(secs => %s)
           AND jsonb_typeof(facts->'engines') = 'array'
        """,
        (SILENT_AFTER_S,),
    )
    return NATIVE, *sorted({name for (name,) in await rows.fetchall()} - {NATIVE})


async def list_workers(db: Connection) -> list[Worker]:
    """Those that did not end in order, newest first. Silent ones stay to be seen until the next day."""
    rows = await db.execute(
        """
        SELECT w.id, w.host, w.pid, w.backend, w.facts, w.width, w.started_at, w.seen_at, w.drains,
               w.seen_at > clock_timestamp() - make_interval(secs => %s),
               (SELECT count(*) FROM agent_run_attempts AS a JOIN agent_runs AS r ON r.id = a.run_id
                 WHERE a.worker = w.id::text AND a.ended_at IS NULL AND r.lease_until IS NOT NULL)
          FROM agent_workers AS w
         WHERE w.stopped_at IS NULL AND w.seen_at > clock_timestamp() - interval '1 day'
         ORDER BY w.started_at DESC
        """,
        (SILENT_AFTER_S,),
    )
    return [Worker(*row) for row in await rows.fetchall()]


async def list_silent(db: Connection) -> list[tuple[str, str]]:
    """The runs whose worker has been silent for longer than a lease: id and state."""
    rows = await db.execute(
        """
        SELECT id, state FROM agent_runs
         WHERE lease_until < clock_timestamp() - make_interval(secs => %s) ORDER BY lease_until LIMIT 100
        """,
        (SILENT_AFTER_S,),
    )
    return [(show_id("run", run_id), state) for run_id, state in await rows.fetchall()]
