"""The backend: a Job for each run, made over the cluster's API, and driven over the connection that it opens to us."""

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from pouch.agents.sandboxes.egress import EgressProxy
from pouch.agents.sandboxes.errors import SandboxFailed, SandboxUnsafe
from pouch.agents.sandboxes.kubernetes.api import ClusterApi, Kind
from pouch.agents.sandboxes.kubernetes.links import Expected, Link, Links, PodProcess, Serve
from pouch.agents.sandboxes.kubernetes.manifests import (
    LABEL,
    MANAGED,
    Cluster,
    Json,
    container_of,
    containers_of,
    job_manifest,
    names_of,
    network_policy_manifest,
    object_name,
    secret_manifest,
)
from pouch.agents.sandboxes.relay import Relay
from pouch.agents.sandboxes.types import BackendName, Capability, Command, Notify, Probe, RunSpec
from pouch.agents.sandboxes.visible import EGRESS_PORT, GATEWAY_PORT, environment
from pouch.base.outside import Lookup

START_TIMEOUT_S = 110
LOOK_EVERY_S = 2.0
KINDS: tuple[Kind, ...] = ("jobs", "secrets", "networkpolicies")


class Kubernetes:
    """One namespace of a cluster."""

    name: BackendName = "kubernetes"

    def __init__(  # noqa: PLR0913 -- two by position, the rest by name
        self,
        api: ClusterApi,
        cluster: Cluster,
        *,
        listen_host: str = "0.0.0.0",  # noqa: S104 -- pods come from other machines
        is_enforced: bool = False,
        private_hosts: Collection[str] = (),
        lookup: Lookup | None = None,
    ) -> None:
        """`is_enforced`: the operator's word that the cluster enforces network policies, which nobody can ask it."""
        self._api = api
        self._cluster = cluster
        self._is_enforced = is_enforced
        self._private_hosts = private_hosts
        self._lookup = lookup
        self._links = Links(listen_host, cluster.relay_port)

    @property
    def disk(self) -> str:
        """None: a pod's ends with its worker."""
        return ""

    async def probe(self) -> Probe:
        """Ask the server what it is, and what we may do there."""
        found: list[Capability] = []
        try:
            version = await self._api.version()
            found.append(Capability("api", is_there=True, detail=version, is_required=True))
            for kind in KINDS:
                may = [verb for verb in ("create", "delete", "list") if not await self._api.may(verb, kind)]
                detail = f"may not {', '.join(may)}" if may else "create, delete, list"
                found.append(Capability(kind, not may, detail, is_required=True))
        except SandboxFailed as error:
            found.append(Capability("api", is_there=False, detail=error.message, is_required=True))
        says = "the operator says so" if self._is_enforced else "set network_policies_enforced once you have tried it"
        found.append(Capability("network policies", self._is_enforced, says, is_required=True))
        runtime = self._cluster.runtime_class or ""
        found.append(Capability("own runtime", bool(runtime), runtime or "the nodes' kernel is shared"))
        return Probe("kubernetes", tuple(found))

    async def prepare(self, spec: RunSpec, notify: Notify) -> "PodSandbox":
        """Make the run's objects, and wait until its containers have connected."""
        probe = await self.probe()
        if not probe.is_safe:
            lacking = ", ".join(each.name for each in probe.capabilities if each.is_required and not each.is_there)
            raise SandboxUnsafe(f"This cluster cannot keep agents apart: it lacks {lacking}.")
        try:
            await self._links.open()
        except OSError as error:
            raise SandboxFailed(f"Pods cannot be listened for: {error.strerror or error}") from error
        expected = self._links.expect(containers_of(spec))
        sandbox = PodSandbox(self, spec, expected, notify)
        try:
            # The policy is there before the pod is.
            await self._api.create("networkpolicies", network_policy_manifest(spec, self._cluster))
            await self._api.create("secrets", secret_manifest(spec, self._cluster, expected.tokens))
            await self._api.create("jobs", job_manifest(spec, self._cluster))
            await self._until_there(spec, expected)
        except BaseException:
            await sandbox.destroy()
            raise
        return sandbox

    async def adopt(self, spec: RunSpec, notify: Notify) -> None:
        """A pod ends with its worker; what was kept while it ran is what there is. Its objects go."""
        del notify
        with contextlib.suppress(SandboxFailed):
            await self.remove(object_name(spec))

    async def leftovers(self) -> Sequence[str]:
        """The names of all runs in the namespace."""
        return names_of(await self._api.list("jobs", MANAGED))

    async def sweep(self, *, older_than_s: float) -> Sequence[str]:
        """Remove what is older and still there: secrets and policies outlast the Jobs that the cluster removes."""
        swept: list[str] = []
        for kind in KINDS:
            for each in await self._api.list(kind, MANAGED):
                metadata = each.get("metadata")
                if isinstance(metadata, dict) and _age_s(metadata) > older_than_s:
                    await self._api.delete(kind, str(metadata.get("name")))
                    swept.extend(name for name in names_of([each]) if name not in swept)
        return swept

    async def remove(self, name: str) -> None:
        """Remove everything of a run. Repeats safely. Raises SandboxFailed."""
        for kind in KINDS:
            await self._api.delete(kind, name)

    async def close(self) -> None:
        """Hang up on every pod."""
        await self._links.close()
        await self._api.close()

    def forget(self, expected: Expected) -> None:
        """Hang up on a run's pod."""
        self._links.forget(expected)

    def proxy(self, spec: RunSpec, command: Command, notify: Notify) -> EgressProxy | None:
        """The way out of a clone or a set-up."""
        egress = command.egress if command.phase == "clone" else spec.setup_egress
        if command.phase not in {"clone", "setup"} or not egress.hosts:
            return None
        return EgressProxy(egress, notify, private_hosts=self._private_hosts, ports=egress.ports, lookup=self._lookup)

    async def _until_there(self, spec: RunSpec, expected: Expected) -> None:
        waiting = asyncio.gather(*(expected.link(name) for name in expected.tokens))
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not waiting.done():
                    await asyncio.wait([waiting], timeout=LOOK_EVERY_S)
                    if not waiting.done() and (why := await self._why_not(spec)):
                        raise SandboxFailed(f"The pod does not start: {why}")
            waiting.result()
        except TimeoutError:
            why = await self._why_not(spec, is_late=True)
            raise SandboxFailed(f"The pod did not connect in time: {why or 'nobody knows why'}") from None
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    async def _why_not(self, spec: RunSpec, *, is_late: bool = False) -> str:
        """What stands in a pod's way for good, in the cluster's words."""
        for pod in await self._api.list("pods", {LABEL: spec.name}):
            status = pod.get("status")
            if not isinstance(status, dict):
                continue
            for reason, text in _reasons(status):
                if is_late or reason in {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerError",
                                         "CreateContainerConfigError", "RunContainerError"}:  # fmt: skip
                    return f"{reason} {text}".strip()[:300]
            if status.get("phase") == "Failed":
                return f"{status.get('reason', 'Failed')} {status.get('message', '')}".strip()[:300]
        return ""


class PodSandbox:
    """One attempt's pod."""

    def __init__(self, backend: Kubernetes, spec: RunSpec, expected: Expected, notify: Notify) -> None:
        self.spec = spec
        self._backend = backend
        self._expected = expected
        self._notify = notify
        self._relay = Relay(spec.gateway, notify)
        self._running: set[PodProcess] = set()
        self._is_frozen = False

    async def execute(self, command: Command) -> PodProcess:
        """Start a program in the container of its phase. Raises SandboxFailed."""
        if command.mounts or self.spec.mounts:
            raise SandboxFailed("A pod sees no folders of a worker: put tools, engines and repositories where it can.")
        link = await self._link(container_of(self.spec, command.phase))
        servers: dict[int, tuple[str, Serve]] = {}
        proxy = self._backend.proxy(self.spec, command, self._notify)
        if command.phase == "agent":
            servers[GATEWAY_PORT] = ("gateway", self._relay.serve)
        elif proxy is not None:
            servers[EGRESS_PORT] = ("egress", proxy.serve)
        named = environment(self.spec, command, has_egress=proxy is not None)
        folder = "/" if command.phase == "clone" else "/work"
        process = await link.start(command.argv, named, folder, servers)
        process.limit(command.output_bytes_max, command.timeout_s)
        self._running.add(process)
        process.on_end = lambda: self._running.discard(process)
        return process

    async def freeze(self) -> None:
        """Stop every program where it is."""
        self._is_frozen = True
        await self._tell_all(b"f")

    async def thaw(self) -> None:
        """Let them go on."""
        if self._is_frozen:
            self._is_frozen = False
            await self._tell_all(b"w")

    async def stop(self, grace_s: float) -> None:
        """SIGTERM to whatever runs, SIGKILL to everything after the grace."""
        await self.thaw()
        running = [each for each in self._running if not each.is_over]
        for each in running:
            await each.terminate()
        if running:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await asyncio.gather(*(each.wait() for each in running))
        for each in running:
            await each.kill()

    async def leave(self) -> None:
        """A pod cannot be handed on: it ends with its worker."""
        await self.destroy()

    async def destroy(self) -> None:
        """Remove all of it. Raises SandboxFailed."""
        await self._relay.stop()
        self._backend.forget(self._expected)
        await self._backend.remove(object_name(self.spec))

    async def _link(self, container: str) -> Link:
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                return await self._expected.link(container)
        except (TimeoutError, asyncio.CancelledError):
            raise SandboxFailed("The pod is not there any more.") from None

    async def _tell_all(self, kind: bytes) -> None:
        for link in self._expected.links.values():
            if link.done() and not link.cancelled():
                await link.result().send(0, kind)


def _reasons(status: Json) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    statuses = status.get("containerStatuses")
    for each in statuses if isinstance(statuses, list) else []:
        state = each.get("state") if isinstance(each, dict) else None
        waiting = state.get("waiting") if isinstance(state, dict) else None
        if isinstance(waiting, dict):
            found.append((str(waiting.get("reason", "")), str(waiting.get("message", ""))))
    return found


def _age_s(metadata: Json) -> float:
    try:
        made = datetime.fromisoformat(str(metadata.get("creationTimestamp")))
    except ValueError:
        return 0
    return (datetime.now(UTC) - made).total_seconds()
