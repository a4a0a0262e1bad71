"""The way out of a clone or a set-up: a proxy on a unix socket that opens tunnels to named hosts, and to no others.

It speaks CONNECT alone and to port 443 alone, so what goes through is TLS from end to end. The host's name must be
allowed, its address public (or the operator's word that it need not be), and the address is looked up once.
"""

import asyncio
from collections.abc import Collection

from pouch.agents.sandboxes.connections import Connections
from pouch.agents.sandboxes.http import Broken, read_head, refusal
from pouch.agents.sandboxes.types import Egress, Notice, Notify
from pouch.base.outside import Lookup, NotPublic, public_address

PORT = 443
CONNECT_TIMEOUT_S = 15
HEAD_TIMEOUT_S = 30
TUNNELS_MAX = 32
PIECE = 64 * 1024


class EgressProxy(Connections):
    """Serves one command of one sandbox."""

    def __init__(  # noqa: PLR0913 -- what the operator and the run each say
        self,
        egress: Egress,
        notify: Notify,
        *,
        uid: int | None = None,
        private_hosts: Collection[str] = (),
        ports: Collection[int] = (PORT,),
        lookup: Lookup | None = None,
    ) -> None:
        super().__init__(uid)
        self._egress = egress
        self._notify = notify
        self._private_hosts = private_hosts
        self._ports = ports
        self._lookup = lookup

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Open a tunnel, or refuse it."""
        try:
            async with asyncio.timeout(HEAD_TIMEOUT_S):
                head = await read_head(reader)
        except Broken:
            await _refuse(writer, 400)
            return
        if head is None:
            return
        host, _, port = head.target.rpartition(":")
        host = host.strip("[]").lower().rstrip(".")
        if head.method != "CONNECT" or port not in set(map(str, self._ports)) or not allows(self._egress, host):
            await self._deny(writer, f"{head.method} {head.target[:200]} is not allowed here.")
            return
        if len(self._under_way) > TUNNELS_MAX:
            await _refuse(writer, 429)
            return
        try:
            address = await public_address(host, int(port), private_hosts=self._private_hosts, lookup=self._lookup)
        except NotPublic as error:
            await self._deny(writer, error.message)
            return
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                there, send = await asyncio.open_connection(address, int(port))
        except (OSError, TimeoutError):
            await _refuse(writer, 502)
            return
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_pump(reader, send), _pump(there, writer))
        finally:
            send.transport.abort()

    async def _deny(self, writer: asyncio.StreamWriter, text: str) -> None:
        self._notify(Notice("egress_denied", text))
        await _refuse(writer, 403)


def allows(egress: Egress, host: str) -> bool:
    """Whether a host may be reached, by its name alone."""
    for allowed in egress.hosts:
        if host == allowed.lower() or (allowed.startswith("*.") and host.endswith(allowed[1:].lower())):
            return True
    return False


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while piece := await source.read(PIECE):
        sink.write(piece)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()


async def _refuse(writer: asyncio.StreamWriter, status: int) -> None:
    writer.write(refusal(status, b"", {}))
    await writer.drain()
