"""The workshop of a real worker: sandboxes of this machine, git in them, and the engines that the operator has."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from pouch.agents.engines.choosing import engines_of
from pouch.agents.engines.driving import Driving, drive
from pouch.agents.engines.lines import event_of
from pouch.agents.engines.types import Engine, Finish, Turn
from pouch.agents.sandboxes.choosing import choose_backend, limits_of, sources_of
from pouch.agents.sandboxes.cloning import Sources, check_address, clone
from pouch.agents.sandboxes.egress import allows
from pouch.agents.sandboxes.errors import SandboxFailed, SandboxUnsafe
from pouch.agents.sandboxes.layers import LayerName, Layers
from pouch.agents.sandboxes.pushing import Pushed, Work, push
from pouch.agents.sandboxes.restoring import restore
from pouch.agents.sandboxes.saving import save
from pouch.agents.sandboxes.setting_up import note_made, set_up
from pouch.agents.sandboxes.types import (
    MIB,
    Backend,
    Cloned,
    Egress,
    GatewayAccess,
    Limits,
    Mount,
    Notice,
    Notify,
    Repository,
    RunSpec,
    Sandbox,
    Saved,
)
from pouch.agents.workshop import Before, OnEvent, SetupFailed
from pouch.settings import Settings

SET_UP_TIMEOUT_S = 600
LEFT_BEHIND_MAX_S = 3 * 24 * 3600
NO_GATEWAY = GatewayAccess("http://127.0.0.1:9", "", ())
"""For a sandbox that calls no model."""

log = structlog.get_logger(__name__)


class Machine:
    """What attempts ask for, done here. See `workshop.Workshop`."""

    def __init__(  # noqa: PLR0913 -- everything that the operator says of a machine
        self,
        backend: Backend,
        *,
        sources: Sources,
        limits: Limits | None = None,
        set_up_hosts: Sequence[str] = (),
        engines: Mapping[str, Engine] | None = None,
        tools: Mapping[str, Path] | None = None,
        layers: Layers | None = None,
        allow_unsafe: bool = False,
    ) -> None:
        self._tools = tools or {}
        self._layers = layers
        self._backend = backend
        self._sources = sources
        self._limits = limits or Limits()
        self._set_up_hosts = Egress(tuple(set_up_hosts))
        self._engines = engines or {}
        self._allow_unsafe = allow_unsafe

    @property
    def name(self) -> str:
        """What makes its sandboxes."""
        return self._backend.name

    @property
    def disk(self) -> str:
        """The disk that workspaces lie on."""
        return self._backend.disk

    async def facts(self) -> Mapping[str, object]:
        """What this machine can do. Raises SandboxUnsafe when nothing may run here."""
        probe = await self._backend.probe()
        lacking = [each.name for each in probe.capabilities if each.is_required and not each.is_there]
        if lacking and not self._allow_unsafe:
            raise SandboxUnsafe(f"This machine cannot keep agents apart from itself: it lacks {', '.join(lacking)}.")
        return {
            "safe": probe.is_safe,
            "capabilities": {each.name: each.is_there for each in probe.capabilities},
            "engines": sorted(self._engines),
            "tools": sorted(self._tools),
        }

    async def prepare(self, spec: RunSpec, notify: Notify) -> Sandbox:
        """Make an empty place. A set-up reaches what both its person and the operator name."""
        for host in spec.setup_egress.hosts:
            if not allows(self._set_up_hosts, host):
                notify(
                    Notice("egress_denied", f"The set-up may not reach {host[:253]}: this Pouch's operator decides.")
                )
        hosts = tuple(host for host in spec.setup_egress.hosts if allows(self._set_up_hosts, host))
        spec = replace(spec, limits=self._limits, setup_egress=Egress(hosts))
        return await self._backend.prepare(self._with_tools(spec), notify)

    async def adopt(self, spec: RunSpec, notify: Notify) -> Sandbox | None:
        """What a worker of this machine that is gone left of an attempt."""
        return await self._backend.adopt(replace(spec, limits=self._limits), notify)

    async def leftovers(self) -> Sequence[str]:
        """The names of all places on this machine's disk."""
        return await self._backend.leftovers()

    async def sweep(self) -> None:
        """Remove what crashes left behind, and whose work nobody came to save for so long."""
        for name in await self._backend.sweep(older_than_s=LEFT_BEHIND_MAX_S):
            log.warning("sandbox_swept", sandbox=name)

    async def fetch(self, sandbox: Sandbox, repository: Repository, branch: str, before: Before) -> Cloned:
        """Clone, and begin the run's branch where the attempt before it ended."""
        repository = replace(repository, ref=before.base_sha or repository.ref)
        if before.bundle is None and before.session is None:
            # Nothing to put back, so no second sandbox is started.
            return await clone(sandbox, repository, self._sources, begin=branch)
        cloned = await clone(sandbox, repository, self._sources)
        await restore(sandbox, before.bundle, branch, before.session, bundled_branch=before.branch or branch)
        return replace(cloned, branch=before.branch or cloned.branch)

    async def set_up(self, sandbox: Sandbox, commands: Sequence[str], on_event: OnEvent) -> None:
        """Run the set-up commands. Raises SetupFailed."""
        async with contextlib.aclosing(set_up(sandbox, commands, SET_UP_TIMEOUT_S)) as said:
            async for each in said:
                if each.ending is None:
                    on_event(event_of("setup_log", {"command": each.command, "text": each.text}))
                    continue
                code, reason = each.ending.code, each.ending.reason
                on_event(event_of("setup_log", {"command": each.command, "code": code, "reason": reason}))
                if code or reason != "exited":
                    raise SetupFailed(f"{each.command[:200]}: {reason} {code}")

    async def recall(self, sandbox: Sandbox, name: LayerName) -> bool:
        """Put what an earlier set-up made into the workspace. False when there is none."""
        return self._layers is not None and await self._layers.recall(sandbox, name)

    async def remember(self, sandbox: Sandbox, name: LayerName) -> None:
        """Keep what a set-up made."""
        if self._layers is not None:
            await self._layers.remember(sandbox, name)

    async def note_made(self, sandbox: Sandbox) -> None:
        """Write down what the set-up made."""
        await note_made(sandbox)

    def engine(self, name: str) -> Engine | None:
        """The engine of that name, if this machine has it."""
        return self._engines.get(name)

    async def drive(self, sandbox: Sandbox, engine: Engine, turn: Turn, on_event: OnEvent) -> "Driven":
        """Let an agent work."""
        return Driven(await drive(sandbox, engine, turn), on_event)

    def _with_tools(self, spec: RunSpec) -> RunSpec:
        mounts, paths = list(spec.mounts), list(spec.paths)
        for name in spec.tools:
            if name not in self._tools:
                raise SandboxFailed(f"This machine has no {name[:100]}.")
            target = f"/opt/tools/{name.replace(' ', '-')}"
            mounts.append(Mount(self._tools[name], target))
            paths.append(f"{target}/bin")
        return replace(spec, mounts=tuple(mounts), paths=tuple(paths))

    async def push(self, name: str, repository: Repository, work: Work, branch: str, *, is_new: bool) -> Pushed:
        """Push saved work from a sandbox of its own, in which nothing else is.

        Raises PushFailed, SourceRefused, SandboxFailed.
        """
        spec = RunSpec(name, NO_GATEWAY, self._limits)
        sandbox = await self._backend.prepare(spec, lambda notice: log.info("push_noticed", text=notice.text))
        try:
            return await push(sandbox, repository, self._sources, work, branch, is_new=is_new)
        finally:
            await sandbox.destroy()

    async def save(
        self, sandbox: Sandbox, folder: Path, base_sha: str, branch: str, *, secrets: Sequence[str]
    ) -> Saved:
        """Write bundle, patch and talk into a folder."""
        return await save(sandbox, base_sha, branch, folder, secrets=secrets)


class Driven:
    """An agent at work, whose events go where they are wanted."""

    def __init__(self, driving: Driving, on_event: OnEvent) -> None:
        self._driving = driving
        self._on_event = on_event
        self._reading = asyncio.get_running_loop().create_task(self._read(), name="events of an agent")

    async def wait(self) -> Finish:
        """Wait until it has ended, however it ends."""
        await asyncio.shield(self._reading)
        return self._driving.finish

    async def say(self, text: str) -> bool:
        """Deliver a message while it works."""
        return await self._driving.say(text)

    async def stop(self, grace_s: float) -> None:
        """Ask it to end, and end it after the grace."""
        await self._driving.stop(grace_s)

    async def _read(self) -> None:
        async with contextlib.aclosing(self._driving.events()) as events:
            async for event in events:
                self._on_event(event)


def unsafe_banner(settings: Settings) -> str | None:
    """The warning for every page when the operator lets agents run though nothing keeps them apart."""
    if settings.file.agents.allow_unsafe_sandbox:
        return "Agents may run here without being kept apart from this machine. Give them no work of strangers."
    return None


def address_check(settings: Settings) -> Callable[[str, bool], None]:
    """Says whether a person may name a repository; raises SourceRefused. Folders are only for operators."""
    sources = sources_of(settings.file.agents)
    for_all = replace(sources, local_roots=())

    def check(address: str, is_operator: bool) -> None:
        # Whether there is a deploy key for an ssh address is looked at when the run starts.
        check_address(address, sources if is_operator else for_all, has_key=True)

    return check


def machine_of(settings: Settings) -> Machine:
    """This machine, as the operator set it up."""
    agents = settings.file.agents
    return Machine(
        choose_backend(agents, settings.data_dir),
        sources=sources_of(agents),
        limits=limits_of(agents),
        set_up_hosts=agents.set_up_hosts,
        engines=engines_of(agents),
        tools=agents.tools,
        layers=Layers(
            settings.data_dir.absolute() / "agent-layers",
            bytes_max=agents.layers_mib * MIB,
            days_max=agents.layers_days,
        ),
        allow_unsafe=agents.allow_unsafe_sandbox,
    )
