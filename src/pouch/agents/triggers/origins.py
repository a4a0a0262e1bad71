"""Where runs were asked for, and what there is to tell there; and the work that waits to be brought to GitHub.

`tell_news` is called in the transaction that brings a run to another state, so nothing that happens goes untold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from psycopg.types.json import Jsonb

from pouch.agents.kinds import may_write
from pouch.agents.triggers.types import Event, Found, Source
from pouch.agents.types import OVER, Run, RunState
from pouch.base.database import Connection
from pouch.jobs.doorbell import ring

TABLE = "agent_origins"
JOB = "agents.answer"
PUBLICATIONS = "agent_publications"
PUBLISH_JOB = "agents.publish"
TOLD: frozenset[RunState] = OVER | {"running", "paused", "paused_no_credit", "waiting_user"}
"""What is worth a message; the rest is on the run's page."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a run was asked for. `news` counts what there was to tell."""

    id: UUID
    organization_id: UUID
    source: Source
    house: str
    place: Mapping[str, str]
    message: str
    news: int


@dataclass(frozen=True, slots=True)
class Publication:
    """A run's work on its way to GitHub."""

    id: UUID
    organization_id: UUID
    installation: int
    repository: str
    base: str
    head: str
    is_own_branch: bool
    issue: int
    pull: int
    pull_url: str
    pushed_sha: str
    note: str
    state: str


async def add(db: Connection, run: Run, event: Event, found: Found) -> None:
    """Remember where a new run was asked for, and where its work goes; it is told there at once."""
    await db.execute(
        "INSERT INTO agent_origins (id, organization_id, source, house, place) VALUES (%s, %s, %s, %s, %s)",
        (run.id, run.organization_id, event.source, event.house, Jsonb(dict(found.place))),
    )
    if event.source == "github" and may_write(run.kind):
        await add_publication(
            db,
            run,
            installation=int(event.house),
            repository=found.full_name,
            base=found.base,
            head=found.head,
            issue=found.issue,
            pull=found.pull,
            pull_url=found.pull_url,
        )
    await ring(db, JOB, run.id)


async def add_publication(  # noqa: PLR0913 -- where to, by name
    db: Connection,
    run: Run,
    *,
    installation: int,
    repository: str,
    base: str,
    head: str = "",
    issue: int = 0,
    pull: int = 0,
    pull_url: str = "",
) -> None:
    """Have a run's work brought to GitHub once it has ended well. `head` empty: on a branch of its own."""
    await db.execute(
        """
        INSERT INTO agent_publications
               (id, organization_id, installation, repository, base, head, is_own_branch, issue, pull, pull_url)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (id) DO NOTHING
        """,
        (
            run.id,
            run.organization_id,
            installation,
            repository,
            base,
            head or run.work_branch,
            not head,
            issue,
            pull,
            pull_url,
        ),
    )


async def tell_news(db: Connection, run: Run, state: RunState) -> None:
    """A run has come to a state: what waits for it is due. Part of the transaction that brings it there."""
    if state in OVER:
        # A run that went on after its end has more to bring, to where it brought the rest.
        published = await db.execute(
            """
            UPDATE agent_publications AS p
               SET due_at = CASE WHEN new.has_more THEN now() END, attempts = 0,
                   state = CASE WHEN new.has_more THEN 'waiting' WHEN p.pushed_sha = '' THEN 'unneeded'
                                ELSE p.state END
              FROM (SELECT id, %(is_good)s AND result->>'head_sha' <> result->>'base_sha' AS has_more,
                           result->>'head_sha' AS head_sha FROM agent_runs) AS new
             WHERE new.id = p.id AND p.id = %(id)s AND p.due_at IS NULL
               AND p.pushed_sha IS DISTINCT FROM new.head_sha
            RETURNING p.due_at IS NOT NULL
            """,
            {"id": run.id, "is_good": state == "succeeded"},
        )
        row = await published.fetchone()
        if row is not None and row[0]:
            await ring(db, PUBLISH_JOB, run.id, lane="publishing")
    if state in TOLD:
        await tell_more(db, run.id)


async def tell_more(db: Connection, run_id: UUID) -> None:
    """There is something new to tell of a run, if it was asked for outside."""
    changed = await db.execute(
        """
        UPDATE agent_origins
           SET news = news + 1, due_at = now(), state = 'waiting',
               -- A first message that was tried may be there: whoever tries again must look.
               attempts = CASE WHEN message = '' THEN least(attempts, 1) ELSE 0 END
         WHERE id = %s
        """,
        (run_id,),
    )
    if changed.rowcount:
        await ring(db, JOB, run_id)


async def read_origin(db: Connection, run_id: UUID) -> Origin | None:
    """Where a run was asked for, if outside."""
    rows = await db.execute(
        "SELECT id, organization_id, source, house, place, message, news FROM agent_origins WHERE id = %s", (run_id,)
    )
    row = await rows.fetchone()
    return None if row is None else Origin(*row)


async def read_publication(db: Connection, run_id: UUID) -> Publication | None:
    """The way of a run's work to GitHub, if it has one."""
    rows = await db.execute(
        """
        SELECT id, organization_id, installation, repository, base, head, is_own_branch, issue, pull, pull_url,
               pushed_sha, note, state
          FROM agent_publications WHERE id = %s
        """,
        (run_id,),
    )
    row = await rows.fetchone()
    return None if row is None else Publication(*row)


async def is_ours(db: Connection, organization_id: UUID, repository: str, head: str) -> bool:
    """Whether a branch was pushed by a run of this organization."""
    rows = await db.execute(
        """
        SELECT 1 FROM agent_publications
         WHERE organization_id = %s AND lower(repository) = lower(%s) AND head = %s AND is_own_branch
           AND pushed_sha <> '' LIMIT 1
        """,
        (organization_id, repository, head),
    )
    return await rows.fetchone() is not None


async def is_busy(db: Connection, organization_id: UUID, repository: str, head: str) -> bool:
    """Whether a run that is not over, or not brought there yet, works on this branch."""
    rows = await db.execute(
        """
        SELECT 1 FROM agent_publications AS p JOIN agent_runs AS r ON r.id = p.id
         WHERE p.organization_id = %s AND lower(p.repository) = lower(%s) AND p.head = %s
           AND (r.state IN ('queued', 'starting', 'setup', 'running', 'stopping') OR p.due_at IS NOT NULL) LIMIT 1
        """,
        (organization_id, repository, head),
    )
    return await rows.fetchone() is not None
