"""Telling where a run was asked for how it stands: one message, edited as the run goes on."""

from collections.abc import Mapping
from datetime import UTC
from uuid import UUID

import structlog

from pouch.agents.bill import bill_of
from pouch.agents.kinds import may_write
from pouch.agents.meter import counted
from pouch.agents.store import clock, read_run
from pouch.agents.triggers import origins
from pouch.agents.triggers.origins import Publication
from pouch.agents.triggers.texts import code, status_of
from pouch.agents.triggers.types import FarEnd, RefusedThere, Silent, Source, Told
from pouch.agents.types import Run
from pouch.base.database import Connection, Database
from pouch.jobs import claims
from pouch.jobs.claims import Claim, Retries
from pouch.jobs.registry import Jobs

LEASE_S = 60
RETRIES = Retries(delays_s=(5, 15, 60, 300, 900), attempts_max=20, waiting="waiting", stuck="failed")

log = structlog.get_logger(__name__)


class Answering:
    """Tells of runs. What is told is always how the run stands now, so what is told late leaves nothing out."""

    def __init__(self, database: Database, far_ends: Mapping[Source, FarEnd], *, url: str) -> None:
        self._database = database
        self._far_ends = far_ends
        self._url = url

    def register(self, jobs: Jobs) -> None:
        """Tell from this process."""
        jobs.register(origins.JOB, self.answer, _due)

    async def answer(self, run_id: UUID) -> None:
        """Tell how a run stands, if that was not told yet."""
        async with self._database.transaction() as db:
            claim = await claims.claim(db, origins.TABLE, run_id, LEASE_S)
            if claim is None:
                return
            origin, run = await origins.read_origin(db, run_id), await read_run(db, run_id)
            assert origin is not None
            assert run is not None
            far_end = self._far_ends.get(origin.source)
            house = await far_end.house(db, origin.house) if far_end is not None else None
            if far_end is None or house is None or house.organization_id != run.organization_id:
                await claims.finish(db, claim, "failed")
                return
            now = await clock(db)
            text = status_of(
                run,
                await bill_of(db, counted(run, now), now),
                url=f"{self._url}/agents/{run.shown_id}",
                result=await last_words(db, run) if run.state == "succeeded" else "",
                work=work_words(run, await origins.read_publication(db, run_id)),
            )
        since = run.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        is_again = claim.attempts > 1
        told = Told(origin.place, origin.message, text, mark=run.shown_id, since=since, is_again=is_again)
        try:
            message = await far_end.tell(house, told)
        except Silent as error:
            async with self._database.transaction() as db:
                await claims.fail(db, claim, str(error), RETRIES)
            return
        except RefusedThere as error:
            log.warning("agent_answer_refused", run=run.shown_id, source=origin.source, reason=str(error))
            async with self._database.transaction() as db:
                await claims.fail(db, claim, str(error), RETRIES.none_left())
            return
        async with self._database.transaction() as db:
            await _told(db, claim, message, origin.news)


async def last_words(db: Connection, run: Run) -> str:
    """What the agent said last."""
    rows = await db.execute(
        """
        SELECT body->>'text' FROM agent_run_events
         WHERE run_id = %s AND type = 'message' AND body->>'from' IS DISTINCT FROM 'person'
         ORDER BY seq DESC LIMIT 1
        """,
        (run.id,),
    )
    row = await rows.fetchone()
    return row[0] or "" if row else ""


def work_words(run: Run, publication: Publication | None) -> str:
    """Where its work is."""
    if not run.is_over or publication is None or publication.state == "unneeded":
        is_saved = run.state == "succeeded" and publication is None and may_write(run.kind)
        return "The work is saved, to be taken from its page." if is_saved else ""
    if publication.state == "published" and publication.pull:
        return f"The work is in #{publication.pull}."
    if publication.state == "failed":
        return f"The work is saved, and could not be brought here: {publication.note}"
    return f"The work is being brought to {code(publication.head)}."


async def _told(db: Connection, claim: Claim, message: str, news: int) -> None:
    # What happened since then is told next.
    await db.execute(
        """
        UPDATE agent_origins
           SET message = %(message)s, lease_until = NULL, error = '', attempts = 0,
               state = CASE WHEN news = %(news)s THEN 'told' ELSE 'waiting' END,
               due_at = CASE WHEN news <> %(news)s THEN now() END
         WHERE id = %(id)s AND epoch = %(epoch)s
        """,
        {"message": message, "news": news, "id": claim.row_id, "epoch": claim.epoch},
    )


async def _due(db: Connection) -> list[UUID]:
    return await claims.due(db, origins.TABLE)
