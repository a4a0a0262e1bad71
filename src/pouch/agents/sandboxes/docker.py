"""Sandboxes of Docker, for machines without user namespaces: a container for each program, all of them on one place.

The daemon must be on this machine: it binds the place's folders, and the relay's socket, into its containers.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from pouch.agents.sandboxes.errors import SandboxFailed, SandboxUnsafe
from pouch.agents.sandboxes.host import HostSandbox, Launched, Outside
from pouch.agents.sandboxes.place import Place, disk_of, find_place, make_place, names_of_places, sweep_places
from pouch.agents.sandboxes.types import BackendName, Capability, Command, Notify, Probe, RunSpec
from pouch.agents.sandboxes.visible import Sockets, environment, places, whole_argv

ACT_TIMEOUT_S = 30
OPEN_FILES_MAX = 4096
LABEL = "pouch.sandbox"
_PASSED_ON = (
    "PATH",
    "HOME",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
    "XDG_RUNTIME_DIR",
)


class Docker:
    """A backend that asks Docker's command line."""

    name: BackendName = "docker"

    def __init__(self, root: Path, image: str, *, outside: Outside | None = None, runtime: str | None = None) -> None:
        """`root` holds the places; `runtime` such as runsc."""
        self._root = root
        self._image = image
        self._outside = outside or Outside()
        self._runtime = runtime

    @property
    def disk(self) -> str:
        """The disk that its places lie on."""
        return disk_of(self._root)

    async def probe(self) -> Probe:
        """Ask the daemon."""
        said, code = await docker("version", "--format", "{{.Server.Version}}")
        is_there = code == 0 and bool(said)
        _, found = await docker("image", "inspect", "--format", "{{.Id}}", self._image) if is_there else ("", 1)
        options, _ = await docker("info", "--format", "{{json .SecurityOptions}}") if is_there else ("", 1)
        return Probe(
            "docker",
            (
                Capability("daemon", is_there, said or "docker is not installed", is_required=True),
                Capability("image", found == 0, self._image, is_required=True),
                Capability("system call filter", "seccomp" in options, _listed(options), is_required=True),
                Capability("user namespaces", "userns" in options or "rootless" in options, _listed(options)),
                Capability(
                    "own account", os.geteuid() == 0, "each sandbox has one" if os.geteuid() == 0 else "the worker's"
                ),
            ),
        )

    async def prepare(self, spec: RunSpec, notify: Notify) -> HostSandbox:
        """Make an empty place."""
        probe = await self.probe()
        if not probe.is_safe:
            lacking = ", ".join(each.name for each in probe.capabilities if each.is_required and not each.is_there)
            raise SandboxUnsafe(f"Docker cannot keep agents apart here: it lacks {lacking}.")
        place = await make_place(self._root, spec.name, spec.limits, may_mount=os.geteuid() == 0)
        return await self._open(spec, place, notify)

    async def adopt(self, spec: RunSpec, notify: Notify) -> HostSandbox | None:
        """The place that a worker which is gone left behind. Its containers are ended first."""
        place = await find_place(self._root, spec.name)
        return await self._open(spec, place, notify) if place is not None else None

    async def leftovers(self) -> Sequence[str]:
        """The names of all places."""
        return names_of_places(self._root)

    async def sweep(self, *, older_than_s: float) -> Sequence[str]:
        """Remove what no living worker has and nobody came for."""
        return await sweep_places(self._root, older_than_s=older_than_s)

    async def _open(self, spec: RunSpec, place: Place, notify: Notify) -> HostSandbox:
        launcher = DockerLauncher(place, self._image, spec.name, self._runtime)
        sandbox = HostSandbox(spec, place, launcher, self._outside, notify)
        return await sandbox.opened()


class DockerLauncher:
    """Starts containers, which carry the sandbox's name as a label."""

    def __init__(self, place: Place, image: str, name: str, runtime: str | None) -> None:
        self._place = place
        self._image = image
        self._name = name
        self._runtime = runtime
        self._count = 0

    async def open(self) -> None:
        """End what a worker before us left."""
        await self.end()

    async def launch(self, spec: RunSpec, command: Command, sockets: Sockets) -> Launched:
        """Start a container that is removed when its program ends."""
        self._count += 1
        container = f"pouch-{self._name}-{os.getpid()}-{self._count}"
        named = environment(spec, command, has_egress=sockets.egress is not None)
        words = docker_arguments(
            spec, command, self._place, sockets, image=self._image, container=container, runtime=self._runtime
        )
        try:
            process = await asyncio.create_subprocess_exec(
                "docker",
                *words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                # What a container sees is named in its arguments and read from here, so that no secret is in a list of
                # processes. PATH and HOME are Docker's own, and given below by their value.
                env={**{name: value for name, value in named.items() if name not in {"PATH", "HOME"}}, **_own()},
                start_new_session=True,
            )
        except OSError as error:
            raise SandboxFailed(f"A container cannot be started: {error.strerror}") from error

        async def terminate() -> None:
            await docker("kill", "--signal", "TERM", container)

        async def kill() -> None:
            await docker("kill", container)
            with contextlib.suppress(ProcessLookupError):
                process.kill()

        return Launched(process, terminate, kill)

    async def freeze(self) -> None:
        """Docker's pause, which is the freezer of control groups."""
        await self._each("pause")

    async def thaw(self) -> None:
        """The same way back."""
        await self._each("unpause")

    async def end(self) -> None:
        """Remove every container of this sandbox."""
        await self._each("rm", "--force")

    async def close(self) -> None:
        """Nothing else outlasts a container."""
        await self.end()

    async def _each(self, *words: str) -> None:
        said, code = await docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}={self._name}")
        if code == 0 and said:
            await docker(*words, *said.split())


def docker_arguments(  # noqa: PLR0913 -- everything that decides what is seen
    spec: RunSpec,
    command: Command,
    place: Place,
    sockets: Sockets,
    *,
    image: str,
    container: str,
    runtime: str | None = None,
) -> list[str]:
    """Everything behind the word docker."""
    limits, uid = spec.limits, place.account.uid
    has_egress = sockets.egress is not None
    words = ["run", "--rm", "--interactive", "--init", "--pull", "never", "--log-driver", "none"]
    words += ["--name", container, "--label", f"{LABEL}={spec.name}", "--hostname", "pouch"]
    words += [*(["--runtime", runtime] if runtime else [])]
    words += ["--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only"]
    words += ["--user", f"{uid}:{uid}", "--pids-limit", str(limits.processes)]
    words += ["--memory", str(limits.memory_bytes), "--memory-swap", str(limits.memory_bytes)]
    words += ["--cpus", f"{limits.cpu_millis // 1000}.{limits.cpu_millis % 1000:03d}", "--shm-size", "8m"]
    words += ["--ulimit", f"fsize={limits.file_bytes}", "--ulimit", f"nofile={OPEN_FILES_MAX}", "--ulimit", "core=0"]
    words += ["--tmpfs", f"/tmp:rw,exec,nosuid,nodev,size={limits.tmp_bytes}"]  # noqa: S108 -- the sandbox's own
    for mount in places(spec, command, place, sockets):
        readonly = "" if mount.is_writable else ",readonly"
        words += ["--mount", f"type=bind,source={mount.source},target={mount.target}{readonly}"]
    named = environment(spec, command, has_egress=has_egress)
    for name, value in named.items():
        words += ["--env", f"{name}={value}" if name in {"PATH", "HOME"} else name]
    words += ["--workdir", "/" if command.phase == "clone" else "/work", "--entrypoint", ""]
    return [*words, image, *whole_argv(command, has_egress=has_egress)]


async def docker(*words: str) -> tuple[str, int]:
    """Run Docker's command line to its end: what it said, and its code; 127 when it is not there."""
    try:
        process = await asyncio.create_subprocess_exec(
            "docker",
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=_own(),
        )
    except OSError:
        return "", 127
    try:
        async with asyncio.timeout(ACT_TIMEOUT_S):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return "docker did not answer", 124
    return said.decode(errors="replace").strip(), process.returncode or 0


def _own() -> dict[str, str]:
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def _listed(options: str) -> str:
    try:
        return ", ".join(json.loads(options))
    except (ValueError, TypeError):
        return options[:100]
