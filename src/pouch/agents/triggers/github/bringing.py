"""A person's wish to have a run's work on GitHub: of any run that is over, changed something and has a place there."""

from uuid import UUID

from pouch.agents.errors import WrongState
from pouch.agents.kinds import may_write
from pouch.agents.store import find_run
from pouch.agents.triggers.github.app import Names
from pouch.agents.triggers.github.installations import Installation, installation_for
from pouch.agents.triggers.origins import PUBLISH_JOB, add_publication, read_publication
from pouch.agents.types import Run
from pouch.base.database import Connection
from pouch.base.languages import say
from pouch.jobs.doorbell import ring


class Bringing:
    """Has work brought to GitHub when somebody asks."""

    def __init__(self, names: Names) -> None:
        self._names = names

    async def is_possible(self, db: Connection, run: Run) -> bool:
        """Whether there is something to bring, a place for it, and nobody who brings it already."""
        return await self._place(db, run) is not None

    async def bring(self, db: Connection, organization_id: UUID, run_id: UUID) -> Run:
        """Have it pushed, and a pull request opened. Raises NotFound, WrongState."""
        run = await find_run(db, organization_id, run_id)
        found = await self._place(db, run)
        if found is None:
            raise WrongState(say("There is nothing to bring to GitHub, or no connected account for it."))
        full_name = self._names.full_name(run.repository)
        await add_publication(db, run, installation=found.github_id, repository=full_name, base=run.branch)
        await db.execute(
            """
            UPDATE agent_publications SET state = 'waiting', due_at = now(), attempts = 0, note = ''
             WHERE id = %s AND due_at IS NULL AND state <> 'published'
            """,
            (run.id,),
        )
        await ring(db, PUBLISH_JOB, run.id, lane="publishing")
        return run

    async def _place(self, db: Connection, run: Run) -> Installation | None:
        full_name, result = self._names.full_name(run.repository), run.result
        has_work = bool(result.get("head_sha")) and result.get("head_sha") != result.get("base_sha")
        if not run.is_over or not may_write(run.kind) or not full_name or not has_work:
            return None
        publication = await read_publication(db, run.id)
        if publication is not None and publication.state in {"waiting", "published"}:
            return None
        return await installation_for(db, run.organization_id, full_name)
