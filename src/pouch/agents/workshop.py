"""What an attempt asks of the machine it runs on, beside the sandbox itself: fetching code, setting up, saving work."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pouch.agents.engines.types import Engine, Event, Finish, Turn
from pouch.agents.redaction import LENGTH_MIN
from pouch.agents.sandboxes.layers import LayerName
from pouch.agents.sandboxes.types import Cloned, Notify, Repository, RunSpec, Sandbox, Saved, SshAccess


class SetupFailed(Exception):
    """A set-up command ended with an error; its output is in the timeline."""


@dataclass(frozen=True, slots=True)
class Place:
    """The environment of a run: what is run before the agent, and what programs see."""

    commands: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    setup_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    run_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    hosts: tuple[str, ...] = ()
    """What set-up may reach."""
    tools: tuple[str, ...] = ()
    """Versions of tools, by the operator's names."""
    ssh: SshAccess | None = field(default=None, repr=False)
    """For a repository that is fetched over ssh."""
    changed: str = ""
    """Another text whenever the environment was saved."""
    password: str = field(default="", repr=False)
    """With which the repository is fetched; gone before anything of it runs."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must not leave the sandbox with the work."""
        values = (self.password, *self.setup_secrets.values(), *self.run_secrets.values())
        return tuple(value for value in values if len(value.strip()) >= LENGTH_MIN)


@dataclass(frozen=True, slots=True)
class Before:
    """What earlier attempts left: files that a run goes on from."""

    bundle: Path | None = None
    session: Path | None = None
    base_sha: str = ""
    branch: str = ""


OnEvent = Callable[[Event], None]


class Driving(Protocol):
    """An agent at work on one turn."""

    async def wait(self) -> Finish:
        """Wait until it has ended, however it ends."""
        ...

    async def say(self, text: str) -> bool:
        """Deliver a message while it works. False when it takes none: it gets it as its next turn."""
        ...

    async def stop(self, grace_s: float) -> None:
        """Ask it to end, and end it after the grace."""
        ...


class Workshop(Protocol):
    """Everything that one machine offers to attempts."""

    @property
    def name(self) -> str:
        """What makes its sandboxes."""
        ...

    @property
    def disk(self) -> str:
        """The name of the disk that workspaces lie on; empty when they end with their worker."""
        ...

    async def leftovers(self) -> Sequence[str]:
        """The names of all places on that disk."""
        ...

    async def facts(self) -> Mapping[str, object]:
        """What this machine can do, for the operator's page. Raises SandboxUnsafe when nothing may run here."""
        ...

    async def prepare(self, spec: RunSpec, notify: Notify) -> Sandbox:
        """Make an empty place. Raises SandboxUnsafe and SandboxFailed."""
        ...

    async def adopt(self, spec: RunSpec, notify: Notify) -> Sandbox | None:
        """What a worker of this machine that is gone left of an attempt, with nothing running in it.

        Raises PlaceInUse while that worker lives, SandboxFailed.
        """
        ...

    async def fetch(self, sandbox: Sandbox, repository: Repository, branch: str, before: Before) -> Cloned:
        """Clone into the workspace and begin a branch, from the commits and the talk of `before` if there are any."""
        ...

    async def set_up(self, sandbox: Sandbox, commands: Sequence[str], on_event: OnEvent) -> None:
        """Run the set-up commands. Raises SetupFailed."""
        ...

    async def recall(self, sandbox: Sandbox, name: LayerName) -> bool:
        """Put what an earlier set-up of that name made into the workspace. False when there is none."""
        ...

    async def remember(self, sandbox: Sandbox, name: LayerName) -> None:
        """Keep what a set-up made, under its name."""
        ...

    async def note_made(self, sandbox: Sandbox) -> None:
        """Write down what the set-up made, which is not the agent's work. Raises SandboxFailed."""
        ...

    def engine(self, name: str) -> Engine | None:
        """The engine of that name, if this machine has it."""
        ...

    async def drive(self, sandbox: Sandbox, engine: Engine, turn: Turn, on_event: OnEvent) -> Driving:
        """Let an agent work."""
        ...

    async def save(
        self, sandbox: Sandbox, folder: Path, base_sha: str, branch: str, *, secrets: Sequence[str]
    ) -> Saved:
        """Write bundle, patch and talk into a folder. Raises SaveFailed; the workspace is still there then.

        What holds one of the `secrets` is in neither bundle nor patch.
        """
        ...
