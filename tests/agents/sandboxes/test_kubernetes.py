"""Kubernetes: what a run is made of there, and a whole run in pods of a cluster of the tests' own."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from pouch.agents.engines.driving import drive
from pouch.agents.engines.native import Native
from pouch.agents.machine import Machine
from pouch.agents.sandboxes.cloning import Sources
from pouch.agents.sandboxes.errors import SandboxFailed, SandboxUnsafe
from pouch.agents.sandboxes.kubernetes.api import ClusterApi
from pouch.agents.sandboxes.kubernetes.backend import Kubernetes, PodSandbox
from pouch.agents.sandboxes.kubernetes.manifests import (
    DEADLINE_S,
    LABEL,
    Cluster,
    containers_of,
    job_manifest,
    network_policy_manifest,
    secret_manifest,
)
from pouch.agents.sandboxes.running import Done, run_to_end
from pouch.agents.sandboxes.saving import save
from pouch.agents.sandboxes.types import Command, Egress, GatewayAccess, Notice, Phase, Repository, RunSpec, SshAccess
from pouch.agents.workshop import Before
from support.cluster import FakeCluster, fake_cluster
from support.sandboxes import RUN_KEY, SMALL, SUMS, TURN, calls, git, is_passing, needs_bubblewrap, repository
from support.ssh_host import SshHost, ssh_host
from support.upstream import Exchange, FakeUpstream, chunk, fake_upstream, usage, usage_chunk

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

CLUSTER = Cluster("agents", "registry.example/pouch-agent:1", "10.1.2.3", 8090, "gvisor")
SPEC = RunSpec(
    "run-1",
    GatewayAccess("http://127.0.0.1:9", RUN_KEY, ("up",)),
    SMALL,
    setup_secrets={"TOKEN": "very secret token"},
    run_secrets={"LICENCE": "licence number"},
)


def pod_of(spec: RunSpec = SPEC) -> dict[str, Any]:
    manifest: dict[str, Any] = job_manifest(spec, CLUSTER)
    found: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return found


def test_a_job_runs_once_without_rights_and_ends_by_itself() -> None:
    job: dict[str, Any] = job_manifest(SPEC, CLUSTER)
    assert job["spec"] | {"template": ...} == {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "activeDeadlineSeconds": DEADLINE_S,
        "ttlSecondsAfterFinished": 300,
        "template": ...,
    }
    pod = pod_of()
    assert (pod["restartPolicy"], pod["runtimeClassName"]) == ("Never", "gvisor")
    assert not any(pod[f"host{name}"] for name in ("Network", "PID", "IPC"))
    assert not pod["automountServiceAccountToken"]
    assert not pod["enableServiceLinks"]
    assert not pod["shareProcessNamespace"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]["limits"]) == {"cpu", "memory", "ephemeral-storage"}
    assert not any("hostPath" in volume for volume in pod["volumes"])
    assert job_manifest(SPEC, CLUSTER) == job


def test_each_phase_sees_what_it_may_write_and_no_more() -> None:
    def written(spec: RunSpec) -> dict[str, set[str]]:
        return {
            each["name"]: {mount["mountPath"] for mount in each["volumeMounts"] if not mount["readOnly"]}
            for each in pod_of(spec)["containers"]
        }

    assert written(SPEC) == {
        "fetch": {"/work", "/home/agent", "/base.git", "/tmp"},
        "work": {"/work", "/home/agent", "/tmp"},
        "collect": {"/out", "/tmp"},
    }
    reads = replace(SPEC, may_write=False)
    assert written(reads)["look"] == {"/home/agent", "/tmp"}
    assert containers_of(reads) == ("fetch", "work", "look", "collect")


def test_the_only_way_out_is_the_workers_relay() -> None:
    policy: dict[str, Any] = network_policy_manifest(SPEC, CLUSTER)
    assert policy["spec"] == {
        "podSelector": {"matchLabels": {LABEL: "run-1"}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [],
        "egress": [
            {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"protocol": "TCP", "port": 8090}]},
        ],
    }


def test_a_secret_has_tokens_and_programs_and_no_key_of_anybody() -> None:
    secret: dict[str, Any] = secret_manifest(SPEC, CLUSTER, {"fetch": "one", "work": "two"})
    texts = {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
    assert (texts["token-fetch"], texts["token-work"]) == ("one", "two")
    assert {"pod.py", "native.py", "clone.py", "save.py"} <= set(texts)
    everything = f"{texts} {job_manifest(SPEC, CLUSTER)} {network_policy_manifest(SPEC, CLUSTER)}"
    for value in (RUN_KEY, "very secret token", "licence number"):
        assert value not in everything


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with fake_upstream() as upstream:
        yield upstream


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    async with fake_cluster() as cluster:
        yield cluster


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SshHost]:
    source = repository(tmp_path / "source", SUMS)
    folder = tmp_path / "host"
    folder.mkdir()
    git(folder, "clone", "-q", "--bare", str(source), "sums.git")
    with ssh_host(folder) as host:
        yield host


@asynccontextmanager
async def backend_of(cluster: FakeCluster, *, is_enforced: bool = True) -> AsyncIterator[Kubernetes]:
    api = ClusterApi(cluster.url, "agents", token_file=cluster.token_file, ca_file=None)
    where = Cluster("agents", "pouch-agent:1", "127.0.0.1", await _free_port())
    backend = Kubernetes(api, where, is_enforced=is_enforced, private_hosts=("localhost",), listen_host="127.0.0.1")
    try:
        yield backend
    finally:
        await backend.close()


async def _free_port() -> int:
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        port: int = server.sockets[0].getsockname()[1]
        return port


async def ran(sandbox: PodSandbox, phase: Phase, line: str, timeout_s: float = 30) -> Done:
    return await run_to_end(sandbox, Command(("/bin/bash", "-c", line), phase, timeout_s))


async def test_a_cluster_is_asked_what_we_may_do_there(cluster: FakeCluster) -> None:
    async with backend_of(cluster) as backend:
        assert (await backend.probe()).is_safe
    async with backend_of(cluster, is_enforced=False) as backend:
        found = {each.name: each.is_there for each in (await backend.probe()).capabilities if each.is_required}
        assert found == {"api": True, "jobs": True, "secrets": True, "networkpolicies": True, "network policies": False}
        with pytest.raises(SandboxUnsafe, match="network policies"):
            await backend.prepare(SPEC, lambda _: None)
    cluster.denied.add(("create", "networkpolicies"))
    async with backend_of(cluster) as backend:
        with pytest.raises(SandboxUnsafe, match="networkpolicies"):
            await backend.prepare(SPEC, lambda _: None)
    cluster.token_file.write_text("wrong")
    async with backend_of(cluster) as backend:
        assert "401" in (await backend.probe()).capabilities[0].detail
    assert cluster.objects["jobs"] == {}


@needs_bubblewrap
async def test_a_whole_run_in_pods_makes_a_real_commit(
    cluster: FakeCluster, upstream: FakeUpstream, host: SshHost, tmp_path: Path
) -> None:
    """Clone over ssh through the proxy, set-up, the native engine, what is kept, and nothing left in the cluster."""
    left = [
        calls("sed -i 's/a - b/a + b/' sums.py && python3 -m unittest -q && git commit -qam 'Add instead'"),
        calls("submit 'It adds.'"),
    ]

    async def play(exchange: Exchange) -> None:
        assert exchange.headers["authorization"] == f"Bearer {RUN_KEY}"
        await exchange.stream([chunk(left.pop(0)), chunk({}, "tool_calls"), usage_chunk(usage(7, 3)), b"[DONE]"])

    upstream.script = play
    private = Ed25519PrivateKey.generate()
    host.allowed.append(private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode())
    text = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    spec = replace(SPEC, gateway=GatewayAccess(upstream.url.removesuffix("/v1"), RUN_KEY, ("up",)))
    notices: list[Notice] = []
    async with backend_of(cluster) as backend:
        machine = Machine(backend, sources=Sources(private_hosts=("localhost",)), limits=SMALL)
        sandbox = await machine.prepare(spec, notices.append)
        assert await backend.leftovers() == ["run-1"]
        asked = Repository(host.url("sums.git"), ssh=SshAccess(text, f"{host.line}\n"))
        cloned = await machine.fetch(sandbox, asked, "pouch/1", Before())
        await machine.set_up(sandbox, ["echo $TOKEN | wc -c; echo set up > ~/made"], lambda _: None)
        driving = await drive(sandbox, Native(), replace(TURN, model="up"))
        events = [event async for event in driving.events()]
        assert driving.finish == "finished", (events, notices)
        saved = await save(sandbox, cloned.base_sha, "pouch/1", tmp_path / "saved")
        await sandbox.destroy()
        assert await backend.leftovers() == []
    assert [commit.subject for commit in saved.commits] == ["Add instead"]
    assert saved.bundle is not None
    git(tmp_path / "source", "fetch", "-q", str(saved.bundle), "pouch/1:pouch/1")
    git(tmp_path / "source", "checkout", "-q", "pouch/1")
    assert is_passing(tmp_path / "source")
    assert {kind: len(found) for kind, found in cluster.objects.items()} == dict.fromkeys(cluster.objects, 0)
    made = [each for each in cluster.asked if each.startswith("POST") and "reviews" not in each]
    assert [each.rpartition("/")[2] for each in made] == ["networkpolicies", "secrets", "jobs"]


@needs_bubblewrap
async def test_programs_in_pods_keep_to_their_phase(cluster: FakeCluster, upstream: FakeUpstream) -> None:
    """Secrets, ports, places, limits, stop: what holds on a machine holds in a pod."""
    spec = replace(
        SPEC,
        gateway=GatewayAccess(upstream.url.removesuffix("/v1"), RUN_KEY, ("up",)),
        setup_egress=Egress(("files.example",)),
    )
    notices: list[Notice] = []
    async with backend_of(cluster) as backend:
        sandbox = await backend.prepare(spec, notices.append)
        try:
            assert b"very secret" in (await ran(sandbox, "setup", "env")).out
            seen = (await ran(sandbox, "agent", "env; cat /proc/1/environ 2>&1; ls /run/secrets 2>&1; id -u")).out
            assert b"very secret" not in seen
            assert b"licence number" in seen
            assert RUN_KEY.encode() not in seen
            assert b"Permission denied" in seen, "the first process of the container can be looked into"
            writes = "touch /base.git/x /opt/pouch/pouch/agents/inside/x /x; echo $?"
            assert (await ran(sandbox, "agent", writes)).out == b"1\n"
            assert (await ran(sandbox, "collect", "touch /work/x /home/agent/x; echo $?")).out == b"1\n"

            port = "import socket,sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 2)"
            assert (await ran(sandbox, "agent", f'python3 -c "{port}" 8080')).ending.code == 0
            assert (await ran(sandbox, "agent", f'python3 -c "{port}" 3128 2>/dev/null')).ending.code == 1
            assert (await ran(sandbox, "collect", f'python3 -c "{port}" 8080 2>/dev/null')).ending.code == 1
            denied = "python3 - <<'E'\nimport socket\ns=socket.create_connection(('127.0.0.1',3128))\n"
            denied += "s.sendall(b'CONNECT evil.example:443 HTTP/1.1\\r\\n\\r\\n'); print(s.recv(20))\nE"
            assert b"403" in (await ran(sandbox, "setup", denied)).out
            assert any(each.kind == "egress_denied" for each in notices)
        finally:
            await sandbox.destroy()


@needs_bubblewrap
async def test_programs_in_pods_end_when_they_must(cluster: FakeCluster) -> None:
    async with backend_of(cluster) as backend:
        sandbox = await backend.prepare(SPEC, lambda _: None)
        try:
            # What a program leaves behind ends with it.
            await ran(sandbox, "agent", "(sleep 60; touch /work/late) & disown")
            assert b"sleep" not in (await ran(sandbox, "agent", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")).out
            assert (await ran(sandbox, "agent", "sleep 60", timeout_s=0.5)).ending.reason == "timed_out"
            much = await sandbox.execute(Command(("/usr/bin/yes",), "agent", 30, output_bytes_max=100_000))
            assert sum([len(piece.data) async for piece in much.output()]) <= 100_000
            assert (await much.wait()).reason == "output_limit"

            deaf = await sandbox.execute(Command(("/bin/bash", "-c", "trap '' TERM; sleep 60"), "agent", 60))
            await asyncio.sleep(0.3)
            await sandbox.stop(0.3)
            assert (await deaf.wait()).code != 0

            ticks = "while true; do date +%N >> /work/ticks; sleep 0.05; done"
            ticking = await sandbox.execute(Command(("/bin/bash", "-c", ticks), "agent", 60))
            work = cluster.folder / "pouch-run-1" / "work" / "ticks"
            while not work.exists():
                await asyncio.sleep(0.02)
            await sandbox.freeze()
            await asyncio.sleep(0.3)
            size = work.stat().st_size
            await asyncio.sleep(0.5)
            assert work.stat().st_size == size
            await sandbox.thaw()
            while work.stat().st_size == size:
                await asyncio.sleep(0.02)
            await ticking.kill()
        finally:
            await sandbox.destroy()


@needs_bubblewrap
async def test_a_token_opens_once_and_for_its_container_alone(cluster: FakeCluster) -> None:
    async with backend_of(cluster) as backend:
        sandbox = await backend.prepare(SPEC, lambda _: None)
        try:
            tokens = sandbox._expected.tokens  # noqa: SLF001 -- what an agent could have seen
            pod = cluster.objects["jobs"]["pouch-run-1"]["spec"]["template"]["spec"]
            relay = pod["containers"][0]["env"][1]["value"]
            for hello in (b'{"token":"%b","container":"work"}\n' % tokens["work"].encode(), b"nonsense\n", b"[]\n"):
                reader, writer = await asyncio.open_connection("127.0.0.1", int(relay.rpartition(":")[2]))
                writer.write(hello)
                assert await reader.read() == b""
                writer.close()
            assert (await ran(sandbox, "agent", "echo alive")).out == b"alive\n"
        finally:
            await sandbox.destroy()


@needs_bubblewrap
async def test_a_pod_that_is_taken_away_ends_its_programs(cluster: FakeCluster) -> None:
    async with backend_of(cluster) as backend:
        sandbox = await backend.prepare(SPEC, lambda _: None)
        process = await sandbox.execute(Command(("/bin/sleep", "60"), "agent", 60))
        await cluster.stop("pouch-run-1")
        assert (await process.wait()).reason == "killed"
        with pytest.raises(SandboxFailed):
            await sandbox.execute(Command(("/bin/true",), "agent", 60))
        await sandbox.destroy()


async def test_a_pod_that_cannot_start_says_why_and_leaves_nothing(cluster: FakeCluster) -> None:
    cluster.image_is_missing = True
    async with backend_of(cluster) as backend:
        with pytest.raises(SandboxFailed, match="ImagePullBackOff"):
            await backend.prepare(SPEC, lambda _: None)
    assert {kind: len(found) for kind, found in cluster.objects.items()} == dict.fromkeys(cluster.objects, 0)


@needs_bubblewrap
async def test_what_a_lost_worker_left_in_the_cluster_goes(cluster: FakeCluster) -> None:
    async with backend_of(cluster) as lost:
        await lost.prepare(SPEC, lambda _: None)
        async with backend_of(cluster) as other:
            assert await other.sweep(older_than_s=3600) == []
            assert await other.adopt(SPEC, lambda _: None) is None  # type: ignore[func-returns-value]  # there is none
            assert await other.leftovers() == []
            await lost.prepare(replace(SPEC, name="run-2"), lambda _: None)
            assert await other.sweep(older_than_s=-10) == ["run-2"]
