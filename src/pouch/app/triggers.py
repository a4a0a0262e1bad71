"""What starts runs from outside, in the processes of Pouch: what is delivered, looked at, started and told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import SecretStr
from starlette.routing import BaseRoute

from pouch.agents.asking import Asking
from pouch.agents.machine import Machine
from pouch.agents.triggers.answering import Answering
from pouch.agents.triggers.chat.linear import LinearEnd, LinearWebhook
from pouch.agents.triggers.chat.slack import SlackEnd, SlackWebhook
from pouch.agents.triggers.chat.workspaces import Workspaces
from pouch.agents.triggers.github.app import GitHub
from pouch.agents.triggers.github.bringing import Bringing
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
from pouch.settings import Settings, SettingsError
from pouch.web.pages import Web

CATCH_UP_EVERY_S = 300
FORGET_EVERY_S = 3600


@dataclass(frozen=True, slots=True)
class Outside:
    """The places outside that this Pouch knows, as its operator set them up."""

    database: Database
    settings: Settings
    github: GitHub | None
    slack: SlackEnd | None
    linear: LinearEnd | None

    @classmethod
    def of(cls, settings: Settings, database: Database) -> "Outside":
        """Read the settings. Raises SettingsError."""
        slack, linear = settings.file.agents.slack, settings.file.agents.linear
        slack_end = linear_end = None
        if slack is not None:
            _needs(settings.slack_signing_secret, "agents.slack", "POUCH_SLACK_SIGNING_SECRET")
            slack_end = SlackEnd(database, Workspaces.of(slack.workspaces, "agents.slack"), slack.api_base)
        if linear is not None:
            _needs(settings.linear_webhook_secret, "agents.linear", "POUCH_LINEAR_WEBHOOK_SECRET")
            known = Workspaces.of(linear.workspaces, "agents.linear")
            linear_end = LinearEnd(database, known, linear.api_base, name=linear.name)
        return cls(database, settings, GitHub.of(settings), slack_end, linear_end)

    def far_ends(self) -> Mapping[Source, FarEnd]:
        """Those that are set up."""
        found: dict[Source, FarEnd] = {}
        if self.github is not None:
            found["github"] = GitHubEnd(self.database, self.github)
        if self.slack is not None:
            found["slack"] = self.slack
        if self.linear is not None:
            found["linear"] = self.linear
        return found

    @property
    def bringing(self) -> Bringing | None:
        """Has work brought to GitHub when somebody asks."""
        return Bringing(self.github.names) if self.github is not None else None

    def routes(self) -> list[BaseRoute]:
        """Where they deliver. Those that are not set up answer that there is nothing."""
        settings, linear = self.settings, self.settings.file.agents.linear
        github_secret = _secret(settings.github_webhook_secret) if self.github is not None else ""
        slug = self.github.names.slug if self.github is not None else ""
        slack_secret = _secret(settings.slack_signing_secret) if self.slack is not None else ""
        linear_secret = _secret(settings.linear_webhook_secret) if self.linear is not None else ""
        return [
            *GitHubWebhook(self.database, secret=github_secret, slug=slug).routes(),
            *SlackWebhook(self.database, secret=slack_secret).routes(),
            *LinearWebhook(self.database, secret=linear_secret, name=linear.name if linear else "").routes(),
        ]

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
        for each in (self.github, self.slack, self.linear):
            if each is not None:
                await each.close()


def _secret(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""


def _needs(secret: SecretStr | None, where: str, variable: str) -> None:
    if not _secret(secret):
        raise SettingsError(f"[{where}] needs {variable} in the environment.")
