"""Docker's command line, without a daemon: what a container would be made with, and the order of what is asked."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pouch.agents.sandboxes.accounts import Account
from pouch.agents.sandboxes.docker import Docker, docker_arguments
from pouch.agents.sandboxes.errors import SandboxUnsafe
from pouch.agents.sandboxes.place import Place
from pouch.agents.sandboxes.types import GIB, MIB, Command, Egress, GatewayAccess, Limits, RunSpec
from pouch.agents.sandboxes.visible import Sockets

SPEC = RunSpec(
    "run-1",
    GatewayAccess("http://127.0.0.1:8080", "sk-run-real", ("m",)),
    Limits(memory_bytes=GIB, processes=64, cpu_millis=1500, tmp_bytes=64 * MIB, file_bytes=GIB),
    setup_secrets={"TOKEN": "hunter2"},
    setup_egress=Egress(("files.example",)),
)
PLACE = Place(Path("/p/run-1"), Account(1_900_000_000), Path("/run/s"), lock=-1, has_quota=True)


def arguments(command: Command, sockets: Sockets, spec: RunSpec = SPEC) -> list[str]:
    return docker_arguments(spec, command, PLACE, sockets, image="pouch-agent:1", container="pouch-run-1-1")


def test_a_container_has_no_network_no_rights_and_limits() -> None:
    words = arguments(Command(("true",), "agent", 10), Sockets(gateway=Path("/run/s/gateway.sock")))
    line = " ".join(words)
    for expected in (
        "run --rm --interactive --init --pull never --log-driver none --name pouch-run-1-1 --label pouch.sandbox=run-1",
        "--network none --cap-drop ALL --security-opt no-new-privileges --read-only",
        "--user 1900000000:1900000000 --pids-limit 64 --memory 1073741824 --memory-swap 1073741824 --cpus 1.500",
        "--ulimit fsize=1073741824 --ulimit nofile=4096 --ulimit core=0",
        "--tmpfs /tmp:rw,exec,nosuid,nodev,size=67108864",
        "--mount type=bind,source=/p/run-1/disk/work,target=/work ",
        "--mount type=bind,source=/p/run-1/disk/base.git,target=/base.git,readonly",
        "--mount type=bind,source=/run/s/gateway.sock,target=/run/pouch/gateway.sock,readonly",
    ):
        assert expected in line
    assert words[-4:] == ["--entrypoint", "", "pouch-agent:1", "true"]
    assert "--privileged" not in words
    assert "docker.sock" not in line


def test_secrets_are_named_and_never_written_on_a_command_line() -> None:
    words = arguments(Command(("true",), "setup", 10), Sockets(egress=Path("/run/s/egress-1.sock")))
    assert "TOKEN" in words
    assert "hunter2" not in " ".join(words)
    assert "sk-run-real" not in " ".join(words)
    assert words[words.index("pouch-agent:1") + 1 :][:5] == [
        "python3",
        "-I",
        "-S",
        "-B",
        "/opt/pouch/pouch/agents/inside/forward.py",
    ]


def test_a_reader_and_the_sandbox_that_saves_get_the_work_to_read() -> None:
    reader = arguments(Command(("true",), "agent", 10), Sockets(), replace(SPEC, may_write=False))
    saving = arguments(Command(("true",), "collect", 10), Sockets())
    for words in (reader, saving):
        assert "type=bind,source=/p/run-1/disk/work,target=/work,readonly" in words
    assert "type=bind,source=/p/run-1/out,target=/out" in saving
    assert "TOKEN" not in saving


@pytest.fixture
def no_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")


@pytest.mark.anyio
@pytest.mark.usefixtures("no_docker")
async def test_without_a_daemon_nothing_runs(tmp_path: Path) -> None:
    backend = Docker(tmp_path, "pouch-agent:1")
    probe = await backend.probe()
    assert not probe.is_safe
    with pytest.raises(SandboxUnsafe, match="daemon"):
        await backend.prepare(SPEC, lambda _: None)
    assert list(tmp_path.iterdir()) == []
    assert os.environ["DOCKER_HOST"] == "unix:///nowhere/docker.sock"
