"""What starts runs from outside, in the processes of Pouch: what is delivered, looked at, started and told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute

from pouch.agents.asking import Asking
from pouch.agents.machine import Machine
from pouch.agents.triggers.answering import Answering
from pouch.agents.triggers.github.app import GitHub
from pouch.agents.triggers.github.catch_up import CatchUp
from pouch.agents.triggers.github.connecting import Connecting
from pouch.agents.triggers.github.far_end import GitHubEnd
from pouch.agents.triggers.github.fetching import Passwords
from pouch.agents.triggers.github.publishing import Publishing
from pouch.agents.triggers.github.webhook import GitHubWebhook
from pouch.agents.triggers.inbox import Inbox, forget_old_events
from pouch.agents.triggers.pages import TriggerPages
from pouch.agents.triggers.types import FarEnd, Source
from pouch.agents.types import Run
from pouch.base.database import Database
from pouch.catalog.types import Model
from pouch.jobs.registry import Jobs
from pouch.settings import Settings
from pouch.web.pages import Web

CATCH_UP_EVERY_S = 300
FORGET_EVERY_S = 3600


@dataclass(frozen=True, slots=True)
class Outside:
    """The places outside that this Pouch knows, as its operator set them up."""

    database: Database
    settings: Settings
    github: GitHub | None

    @classmethod
    def of(cls, settings: Settings, database: Database) -> "Outside":
        """Read the settings. Raises SettingsError."""
        return cls(database, settings, GitHub.of(settings))

    def far_ends(self) -> Mapping[Source, FarEnd]:
        """Those that are set up."""
        found: dict[Source, FarEnd] = {}
        if self.github is not None:
            found["github"] = GitHubEnd(self.database, self.github)
        return found

    def routes(self) -> list[BaseRoute]:
        """Where they deliver. Those that are not set up answer that there is nothing."""
        secret = self.settings.github_webhook_secret
        is_on = self.github is not None and secret is not None
        webhook = GitHubWebhook(
            self.database,
            secret=secret.get_secret_value() if is_on and secret is not None else "",
            slug=self.github.names.slug if self.github is not None else "",
        )
        return [*webhook.routes()]

    def pages(
        self, web: Web, *, models: Callable[[], Sequence[Model]], check_address: Callable[[str, bool], None]
    ) -> list[BaseRoute]:
        """Where people connect places and say what starts a run."""
        github = self.github
        pages = TriggerPages(
            web,
            self.database,
            models=models,
            check_address=check_address,
            sources=tuple(self.far_ends()),
            connecting=Connecting(self.database, github, url=self.settings.url) if github is not None else None,
            web_base=github.names.web_base if github is not None else "",
            slug=github.names.slug if github is not None else "",
        )
        return [*pages.routes()]

    def register(self, jobs: Jobs, asking: Asking) -> None:
        """Act on what was delivered and tell of runs, in this process."""
        far_ends = self.far_ends()
        Inbox(self.database, asking, far_ends).register(jobs)
        Answering(self.database, far_ends, url=self.settings.url).register(jobs)
        jobs.every(FORGET_EVERY_S, "agents.forget_events", self._forget)
        if self.github is not None:
            jobs.every(CATCH_UP_EVERY_S, "agents.catch_up", CatchUp(self.database, self.github))

    def register_publishing(self, jobs: Jobs, machine: Machine) -> None:
        """Bring work to GitHub from this process, which can make sandboxes."""
        if self.github is not None:
            Publishing(self.database, self.github, machine, url=self.settings.url).register(jobs)

    async def password_for(self, run: Run) -> str:
        """With which a run's repository is fetched."""
        return await Passwords(self.database, self.github)(run) if self.github is not None else ""

    async def _forget(self) -> None:
        async with self.database.transaction() as db:
            await forget_old_events(db)

    async def close(self) -> None:
        """Give the connections back."""
        if self.github is not None:
            await self.github.close()
