"""The password with which a run's repository is fetched: a token for that one repository, which may only read."""

import structlog

from pouch.agents.triggers.github.app import GitHub
from pouch.agents.triggers.github.installations import installation_for
from pouch.agents.triggers.types import RefusedThere, Silent
from pouch.agents.types import Run
from pouch.base.database import Database

READS = {"contents": "read", "metadata": "read"}

log = structlog.get_logger(__name__)


class Passwords:
    """Makes them, for repositories of accounts that are connected to the run's own organization."""

    def __init__(self, database: Database, github: GitHub) -> None:
        self._database = database
        self._github = github

    async def __call__(self, run: Run) -> str:
        """A token, or nothing: then it is fetched as anybody could."""
        full_name = self._github.names.full_name(run.repository)
        if not full_name:
            return ""
        async with self._database.transaction() as db:
            found = await installation_for(db, run.organization_id, full_name)
        if found is None:
            return ""
        try:
            return (await self._github.token(found.github_id, full_name, READS)).password
        except (Silent, RefusedThere) as error:
            log.warning("agent_repository_fetched_as_anybody", run=run.shown_id, reason=str(error))
            return ""
