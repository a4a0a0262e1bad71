"""A worker process for the chaos test: it tells where it is and stands still where a row says it will be killed."""

import asyncio
import os
import sys
from uuid import UUID

from pouch.base.database import Connection, Database
from pouch.jobs.claims import claim, due, finish
from pouch.jobs.registry import Jobs

LEASE_S = 1


async def main(url: str) -> None:
    async with Database(url) as database:

        async def kill_me_at(place: str, row_id: UUID) -> None:
            async with database.transaction() as db:
                found = await db.execute("SELECT kill_at FROM chaos_rows WHERE id = %s", (row_id,))
                doomed = await found.fetchone() == (place,)
                if doomed:
                    await db.execute("SELECT pg_notify('chaos', %s)", (f"kill {os.getpid()} {row_id}",))
            if doomed:
                await asyncio.Event().wait()

        async def handle(row_id: UUID) -> None:
            await kill_me_at("unclaimed", row_id)
            async with database.transaction() as db:
                held = await claim(db, "chaos_rows", row_id, LEASE_S)
            if held is None:
                return
            await kill_me_at("claimed", row_id)
            async with database.transaction() as db:
                if not await finish(db, held, "done"):
                    return
                await db.execute("UPDATE chaos_rows SET effects = effects + 1 WHERE id = %s", (row_id,))
                await kill_me_at("uncommitted", row_id)
                await db.execute("SELECT pg_notify('chaos', %s)", (f"done {os.getpid()} {row_id}",))
            await kill_me_at("committed", row_id)

        async def due_rows(db: Connection) -> list[UUID]:
            return await due(db, "chaos_rows")

        jobs = Jobs(database)
        jobs.register("chaos", handle, due_rows)
        await jobs.run(asyncio.Event())


asyncio.run(main(sys.argv[1]))
