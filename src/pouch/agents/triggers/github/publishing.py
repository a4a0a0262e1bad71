"""Bringing the work of a run to GitHub: pushed to a branch, then a pull request, once, however often it is tried.

In words.

- Only what was saved and committed is brought: the bundle in the database, never a workspace.
- git runs in a sandbox of its own, which no agent ever saw, and reaches GitHub alone. Its token is made for this push,
  for this one repository, and may write contents; the one for the pull request may not.
- What is there already is left alone: the branch by its commit, the pull request by its branch. Never by force.
"""

import tempfile
from pathlib import Path
from typing import Protocol
from uuid import UUID

import structlog

from pouch.agents.artifacts import content_of, newest
from pouch.agents.bill import bill_of
from pouch.agents.meter import counted
from pouch.agents.sandboxes.errors import SandboxFailed, SandboxUnsafe, SourceRefused
from pouch.agents.sandboxes.pushing import Pushed, PushFailed, Work
from pouch.agents.sandboxes.types import Repository
from pouch.agents.store import clock, read_run
from pouch.agents.triggers import origins
from pouch.agents.triggers.github.app import GitHub
from pouch.agents.triggers.github.installations import house_of
from pouch.agents.triggers.github.pulls import ensure_pull
from pouch.agents.triggers.origins import PUBLICATIONS, PUBLISH_JOB, Publication, read_publication, tell_more
from pouch.agents.triggers.texts import pull_body, pull_title
from pouch.agents.triggers.types import RefusedThere, Silent
from pouch.agents.types import Run
from pouch.base.database import Connection, Database
from pouch.jobs import claims
from pouch.jobs.claims import Claim, Retries
from pouch.jobs.registry import Jobs

LEASE_S = 420
"""Longer than a push and what comes after it may take."""
RETRIES = Retries(delays_s=(10, 30, 120, 600), attempts_max=12, waiting="waiting", stuck="failed")
PUSHES = {"contents": "write", "metadata": "read"}
OPENS = {"pull_requests": "write", "metadata": "read"}

log = structlog.get_logger(__name__)


class Pusher(Protocol):
    """A machine that can push."""

    async def push(self, name: str, repository: Repository, work: Work, branch: str, *, is_new: bool) -> Pushed:
        """Push saved work. Raises PushFailed, SourceRefused, SandboxFailed."""
        ...


class CannotPublish(Exception):
    """It cannot be brought there, now or later; the text says why, for the page and the comment."""


class Publishing:
    """Brings the work of runs to GitHub, one at a time for each run."""

    def __init__(self, database: Database, github: GitHub, pusher: Pusher, *, url: str) -> None:
        self._database = database
        self._github = github
        self._pusher = pusher
        self._url = url

    def register(self, jobs: Jobs) -> None:
        """Bring work there from this process, which can make sandboxes."""
        jobs.register(PUBLISH_JOB, self.publish, _due, lane="publishing")

    async def publish(self, run_id: UUID) -> None:
        """Push and open, if that is due. After a crash it goes on where it ended."""
        async with self._database.transaction() as db:
            claim = await claims.claim(db, PUBLICATIONS, run_id, LEASE_S)
            if claim is None:
                return
            run, publication = await read_run(db, run_id), await read_publication(db, run_id)
            assert run is not None
            assert publication is not None
            house = await house_of(db, str(publication.installation))
        try:
            if house is None or house.organization_id != run.organization_id:
                raise CannotPublish("The account on GitHub is not connected any more.")  # noqa: TRY301 -- one way out
            if publication.pushed_sha != run.result.get("head_sha"):
                await self._push(claim, run, publication)
            await self._open(claim, run, publication)
        except (Silent, PushFailed, SandboxFailed, SandboxUnsafe) as error:
            log.warning("agent_work_not_brought_yet", run=run.shown_id, reason=type(error).__name__)
            async with self._database.transaction() as db:
                if await claims.fail(db, claim, str(error), RETRIES) == "given_up":
                    await self._give_up(db, run_id, "GitHub could not be reached.")
        except (CannotPublish, RefusedThere, SourceRefused) as error:
            log.warning("agent_work_not_brought", run=run.shown_id, reason=type(error).__name__)
            async with self._database.transaction() as db:
                if await claims.finish(db, claim, "failed"):
                    await self._give_up(db, run_id, str(error))

    async def _push(self, claim: Claim, run: Run, publication: Publication) -> None:
        base, head = run.result.get("base_sha"), run.result.get("head_sha")
        async with self._database.transaction() as db:
            found = await newest(db, run.id, "bundle")
        if found is None or not isinstance(base, str) or not isinstance(head, str):
            raise CannotPublish("The work of this run is not kept any more.")
        acting = await self._github.token(publication.installation, publication.repository, PUSHES)
        address = self._github.names.clone_url(publication.repository)
        repository = Repository(address, username="x-access-token", password=acting.password)
        with tempfile.TemporaryDirectory(prefix="pouch-push-") as folder:
            bundle = Path(folder) / "run.bundle"
            with bundle.open("wb") as file:
                async for part in content_of(self._database, found):
                    file.write(part)
            work = Work(bundle, str(run.result.get("branch") or run.work_branch), base, head)
            name = f"push-{run.id.hex[-20:]}-{claim.epoch}"
            is_new = publication.is_own_branch and not publication.pushed_sha
            pushed = await self._pusher.push(name, repository, work, publication.head, is_new=is_new)
        if not pushed.is_there:
            raise CannotPublish(pushed.why or "GitHub did not take it.")
        async with self._database.transaction() as db:
            await db.execute(
                "UPDATE agent_publications SET pushed_sha = %s WHERE id = %s AND epoch = %s",
                (head, run.id, claim.epoch),
            )

    async def _open(self, claim: Claim, run: Run, publication: Publication) -> None:
        number, address = publication.pull, publication.pull_url
        if not number:
            async with self._database.transaction() as db:
                now = await clock(db)
                bill = await bill_of(db, counted(run, now), now)
            acting = await self._github.token(publication.installation, publication.repository, OPENS)
            body = pull_body(run, bill, url=f"{self._url}/agents/{run.shown_id}", issue=publication.issue)
            number, address = await ensure_pull(acting, publication, pull_title(run), body)
            address = address if address.startswith(("https://", "http://")) else ""
        async with self._database.transaction() as db:
            if await claims.finish(db, claim, "published"):
                await db.execute(
                    "UPDATE agent_publications SET pull = %s, pull_url = %s, note = '' WHERE id = %s",
                    (number, address, run.id),
                )
                await tell_more(db, run.id)

    async def _give_up(self, db: Connection, run_id: UUID, why: str) -> None:
        await db.execute("UPDATE agent_publications SET note = %s WHERE id = %s", (why[:500], run_id))
        await tell_more(db, run_id)


async def _due(db: Connection) -> list[UUID]:
    return await claims.due(db, origins.PUBLICATIONS)
