import asyncio
import os
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pouch.agents.sandboxes.egress import EgressProxy, allows
from pouch.agents.sandboxes.types import Egress, Notice
from support.sandboxes import box, needs_bubblewrap

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """A server that says back what it hears: its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(1024):
            writer.write(piece)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def proxy(
    path: Path, hosts: tuple[str, ...], addresses: list[str], port: int, private_hosts: Collection[str] = ()
) -> AsyncIterator[list[Notice]]:
    notices: list[Notice] = []

    async def lookup(_: str, __: int) -> list[str]:
        return addresses

    served = EgressProxy(
        Egress(hosts), notices.append, uid=os.geteuid(), private_hosts=private_hosts, ports=(port,), lookup=lookup
    )
    await served.start(path)
    try:
        yield notices
    finally:
        await served.stop()


async def connect(path: Path, line: str, said: bytes = b"") -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(f"{line} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if said:
        writer.write(said)
        writer.write_eof()
        head += await reader.read()
    writer.close()
    return head


async def test_a_tunnel_to_an_allowed_host_carries_what_is_sent(tmp_path: Path) -> None:
    async with echo() as port, proxy(tmp_path / "s", ("files.example",), ["127.0.0.1"], port, {"files.example"}):
        answer = await connect(tmp_path / "s", f"CONNECT files.example:{port}", b"hello")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"hello")


@pytest.mark.parametrize(
    "line",
    ["CONNECT other.example:PORT", "CONNECT files.example:22", "GET http://files.example/", "CONNECT files.example"],
)
async def test_other_hosts_ports_and_methods_are_denied_and_told(tmp_path: Path, line: str) -> None:
    async with echo() as port, proxy(tmp_path / "s", ("files.example",), ["127.0.0.1"], port) as notices:
        answer = await connect(tmp_path / "s", line.replace("PORT", str(port)))
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert [notice.kind for notice in notices] == ["egress_denied"]


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"], ["::1"], ["203.0.113.1"], ["8.8.8.8", "192.168.0.1"], []],
)
async def test_an_allowed_name_with_a_private_address_is_denied(tmp_path: Path, addresses: list[str]) -> None:
    async with echo() as port, proxy(tmp_path / "s", ("files.example",), addresses, port) as notices:
        answer = await connect(tmp_path / "s", f"CONNECT files.example:{port}")
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert [notice.kind for notice in notices] == ["egress_denied"]


def test_a_star_allows_what_is_below_a_name() -> None:
    egress = Egress(("*.example.com", "Files.org"))
    assert allows(egress, "a.example.com")
    assert allows(egress, "files.org")
    assert not allows(egress, "example.com")
    assert not allows(egress, "badexample.com")
    assert not allows(egress, "a.files.org")


@needs_bubblewrap
async def test_a_set_up_reaches_its_hosts_and_the_agent_does_not(root: Path) -> None:
    ask = (
        "exec 3<>/dev/tcp/127.0.0.1/3128 && printf 'CONNECT other.example:443 HTTP/1.1\\r\\n\\r\\n' >&3 && head -1 <&3;"
        "env | grep -c https_proxy; ls /run/pouch"
    )
    async with box(root, setup_egress=Egress(("files.example",))) as sandbox:
        in_setup = await sandbox.bash(ask, phase="setup")
        in_agent = await sandbox.bash(ask, phase="agent")
    assert in_setup.out.splitlines() == ["HTTP/1.1 403 Forbidden", "1", "egress.sock"]
    assert "refused" in in_agent.err
    assert in_agent.out.splitlines() == ["0", "gateway.sock"]
    assert [notice.kind for notice in sandbox.notices] == ["egress_denied"]
