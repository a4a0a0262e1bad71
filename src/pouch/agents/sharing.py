"""Links with which whoever has them sees one run: its timeline and result, not its cost. Nothing can be done there."""

import secrets
from hashlib import sha256
from uuid import UUID

from pouch.agents.store import find_run, read_run
from pouch.agents.types import Run
from pouch.base.database import Connection
from pouch.base.errors import Conflict, NotFound

DAYS = 30
LINKS_MAX = 20
"""Live ones of one run."""
_LENGTH = 43


async def share(db: Connection, organization_id: UUID, person_id: UUID, run_id: UUID) -> str:
    """Make a link that works for thirty days; its token, which is nowhere else. Raises Conflict."""
    run = await find_run(db, organization_id, run_id)
    if await count_links(db, run.id) >= LINKS_MAX:
        raise Conflict("There are enough links to this run already. End them first.")
    token = secrets.token_urlsafe(32)
    await db.execute(
        """
        INSERT INTO agent_share_links (token_hash, run_id, person_id, expires_at)
        VALUES (%s, %s, %s, clock_timestamp() + make_interval(days => %s))
        """,
        (_hash(token), run.id, person_id, DAYS),
    )
    return token


async def end_links(db: Connection, organization_id: UUID, run_id: UUID) -> None:
    """Let none of a run's links work any more."""
    run = await find_run(db, organization_id, run_id)
    await db.execute(
        "UPDATE agent_share_links SET ended_at = clock_timestamp() WHERE run_id = %s AND ended_at IS NULL", (run.id,)
    )


async def count_links(db: Connection, run_id: UUID) -> int:
    """How many links to a run work."""
    rows = await db.execute(
        """
        SELECT count(*) FROM agent_share_links
         WHERE run_id = %s AND ended_at IS NULL AND expires_at > clock_timestamp()
        """,
        (run_id,),
    )
    row = await rows.fetchone()
    return row[0] if row else 0


async def shared_run(db: Connection, token: str) -> Run:
    """The run of a link. Raises NotFound for one that does not work, for whatever reason."""
    found = None
    if len(token) == _LENGTH:
        rows = await db.execute(
            """
            SELECT run_id FROM agent_share_links
             WHERE token_hash = %s AND ended_at IS NULL AND expires_at > clock_timestamp()
            """,
            (_hash(token),),
        )
        found = await rows.fetchone()
    run = await read_run(db, found[0]) if found is not None else None
    if run is None:
        raise NotFound("This link does not work, or not any more.")
    return run


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "replace")).digest()
