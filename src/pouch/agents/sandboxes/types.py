"""What runs ask of a sandbox, whatever makes it: bubblewrap, Docker or Kubernetes."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

BackendName = Literal["bubblewrap", "docker", "kubernetes"]

Phase = Literal["clone", "restore", "setup", "agent", "collect"]
"""What a command in a sandbox is for; it decides what the command can reach.

    clone    the workspace, and the repository's host alone. Nothing of the repository is run.
    restore  the workspace, and no network: saved work is put back.
    setup    the workspace, the allowed package hosts, and the secrets of the set-up.
    agent    the workspace, and the gateway through the relay. No other network, no secret but the run's.
    collect  the workspace to read, and no network at all: a second sandbox, which makes what is kept.
"""

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may take of its machine."""

    memory_bytes: int = 2 * GIB
    processes: int = 256
    cpu_millis: int = 2000
    """Thousandths of a core."""
    disk_bytes: int = 4 * GIB
    """Workspace and home together."""
    tmp_bytes: int = 512 * MIB
    """The temporary folder, which is memory."""
    file_bytes: int = GIB
    """The largest single file."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or file of the host that is seen inside."""

    source: Path
    target: str
    is_writable: bool = False


@dataclass(frozen=True, slots=True)
class Egress:
    """Which hosts may be reached, over https and by name. "*.example.com" is every name below example.com."""

    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = (443,)


@dataclass(frozen=True, slots=True)
class GatewayAccess:
    """How the relay reaches the gateway for this run. None of it is ever seen inside."""

    url: str
    """Without a path: http://127.0.0.1:8080."""
    key: str = field(repr=False)
    """The run key of this attempt."""
    models: tuple[str, ...]
    """The only models that calls may name."""


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One attempt of a run. `name` is unique for each attempt: letters, digits and hyphens, at most 40."""

    name: str
    gateway: GatewayAccess
    limits: Limits = Limits()
    may_write: bool = True
    """Whether the agent may change the workspace. A mount that is read-only enforces it, not the agent's manners."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What every phase sees. Nothing secret."""
    setup_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Seen in set-up alone, gone before the agent begins."""
    run_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the person lets the agent see. Whoever stores output takes them out of it."""
    setup_egress: Egress = Egress()
    mounts: tuple[Mount, ...] = ()
    """Further files of the operator, such as an engine's program."""
    tools: tuple[str, ...] = ()
    """Names of the operator's tools, such as "python 3.12"."""
    paths: tuple[str, ...] = ()
    """Folders inside in which programs are looked for first."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run inside. Never a line for a shell."""

    argv: tuple[str, ...]
    phase: Phase
    timeout_s: float
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    egress: Egress = Egress()
    """For the phase clone alone: its one host."""
    mounts: tuple[Mount, ...] = ()
    output_bytes_max: int = 64 * MIB
    """A program that says more is ended."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a program said, as it came."""

    stream: Literal["out", "err"]
    data: bytes


EndReason = Literal["exited", "timed_out", "output_limit", "killed"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a program ended. Its code is what it claims, and proves nothing."""

    code: int
    """Negative is the signal that ended it."""
    reason: EndReason


NoticeKind = Literal["egress_denied", "path_denied", "model_denied", "body_denied", "refused", "disk_full", "unsafe",
                     "gateway_away", "gateway_back"]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the run's timeline should tell, seen from outside of the sandbox.

    `refused`: the gateway answered 402; `status` and `code` say why. Engines may retry it for ever: stop them.
    """

    kind: NoticeKind
    text: str
    status: int = 0
    code: str = ""


Notify = Callable[[Notice], None]


class Process(Protocol):
    """A program that runs inside."""

    def output(self) -> AsyncIterator[Output]:
        """Everything it says, until it ends. Read it: a full pipe stops the program."""
        ...

    async def send(self, data: bytes) -> None:
        """Write to its standard input. Does nothing once it has ended."""
        ...

    async def end_input(self) -> None:
        """Say that nothing more will be written."""
        ...

    async def terminate(self) -> None:
        """Send it SIGTERM."""
        ...

    async def kill(self) -> None:
        """End it and everything it started."""
        ...

    async def wait(self) -> Ending:
        """Wait until it has ended."""
        ...


class Sandbox(Protocol):
    """The place of one attempt: a workspace at /work, a home, and nothing else of the host."""

    @property
    def spec(self) -> RunSpec:
        """What it was made for."""
        ...

    async def execute(self, command: Command) -> Process:
        """Start a program. Raises SandboxFailed when it cannot be started."""
        ...

    async def freeze(self) -> None:
        """Stop every program where it is: no computing, no calls."""
        ...

    async def thaw(self) -> None:
        """Let them go on."""
        ...

    async def stop(self, grace_s: float) -> None:
        """SIGTERM to whatever runs, SIGKILL to everything after `grace_s`. Nothing runs when it returns."""
        ...

    async def leave(self) -> None:
        """Let go of it, with everything in it, for whoever adopts it. Stop what runs first."""
        ...

    async def destroy(self) -> None:
        """Remove all of it, workspace included. Repeats safely. Save the work first."""
        ...


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing that isolation rests on, and whether this machine has it."""

    name: str
    is_there: bool
    detail: str
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """What a machine can do."""

    backend: BackendName
    capabilities: tuple[Capability, ...]

    @property
    def is_safe(self) -> bool:
        """Whether everything that is required is there."""
        return all(each.is_there for each in self.capabilities if each.is_required)


class Backend(Protocol):
    """Makes sandboxes."""

    @property
    def name(self) -> BackendName:
        """Which one it is."""
        ...

    @property
    def disk(self) -> str:
        """The name of the disk that its places lie on; empty when they end with their worker."""
        ...

    async def probe(self) -> Probe:
        """Try what this machine can do."""
        ...

    async def prepare(self, spec: RunSpec, notify: Notify) -> Sandbox:
        """Make an empty place. Raises SandboxUnsafe when isolation is not to be had, SandboxFailed when it fails."""
        ...

    async def adopt(self, spec: RunSpec, notify: Notify) -> Sandbox | None:
        """The place that a worker which is gone left behind, with nothing running in it; None when there is none.

        For saving its work and destroying it. Raises PlaceInUse while its worker lives.
        """
        ...

    async def leftovers(self) -> Sequence[str]:
        """The names of all places that are there, for the reaper."""
        ...

    async def sweep(self, *, older_than_s: float) -> Sequence[str]:
        """Remove what no living worker has and nobody came for: the names."""
        ...


@dataclass(frozen=True, slots=True)
class SshAccess:
    """With which key a repository is fetched over ssh, and which hosts are believed: lines of known_hosts."""

    private_key: str = field(repr=False)
    known_hosts: str


@dataclass(frozen=True, slots=True)
class Repository:
    """Where the code comes from: an https or ssh address, or a folder under `local_roots` (see `addresses`)."""

    address: str
    ref: str = ""
    """A branch, tag or full commit id. Empty: the default branch."""
    username: str = "x-access-token"
    password: str = field(default="", repr=False)
    """A token for the clone alone. It is gone before anything of the repository runs."""
    ssh: SshAccess | None = None
    """The same for an ssh address."""


@dataclass(frozen=True, slots=True)
class Cloned:
    """What the workspace begins with."""

    base_sha: str
    branch: str
    """Empty when a tag or a commit was asked for."""
    locks: str = ""
    """A digest of its lock files: which versions of packages it wants."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file of the result. Binary files have no lines."""

    path: str
    added: int
    removed: int
    is_binary: bool = False


@dataclass(frozen=True, slots=True)
class SavedCommit:
    """A commit of the result, oldest first."""

    sha: str
    subject: str


@dataclass(frozen=True, slots=True)
class Saved:
    """The work of an attempt, as git in the second sandbox saw it. The files lie in the folder that was named."""

    base_sha: str
    """What it began with."""
    head_sha: str
    """Equal to the base when nothing was changed."""
    branch: str
    """The name of the branch inside the bundle."""
    bundle: Path | None
    """`git fetch BUNDLE BRANCH` gives the commits. None when there are none."""
    patch: Path | None
    session: Path | None
    """The engine's conversation, with which it can go on."""
    files: tuple[FileChange, ...] = ()
    commits: tuple[SavedCommit, ...] = ()
    was_unfinished: bool = False
    """Whether work that the agent had not committed was added as the last commit."""
    withheld: tuple[str, ...] = ()
    """Files that are not in it, or not as the agent left them, because they hold a secret."""
    branches: tuple[str, ...] = ()
    """Other branches of the agent's, and its stash, with commits that are not in it."""
    nested: tuple[str, ...] = ()
    """Repositories inside of the workspace, whose files are not in it."""
