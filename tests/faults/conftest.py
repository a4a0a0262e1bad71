import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from pouch.gateway.patience import Patience
from support.gateway import Gateway, running_gateway
from support.postgres import at_database
from support.upstream import fake_upstream

SELF_SIGNED = Path(__file__).parent / "self-signed.pem"
SHORT = Patience(body_s=1, stall_s=0.5, drain_s=1, look_every_s=0.1)
SILENCE_S = 1.0


@pytest.fixture(scope="module")
def module_database(postgres_url: str, template_database: str) -> Iterator[str]:
    """A database for all tests of a file; each of them brings somebody of its own."""
    name = f"pouch_test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template_database}" STRATEGY file_copy')
        yield at_database(postgres_url, name)
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
async def shared(module_database: str) -> AsyncIterator[Gateway]:
    """One gateway with little patience, and upstreams that cannot be talked to."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(SELF_SIGNED)
    with socket.socket() as deaf:
        # Bound and not listening: whoever connects is refused, and nobody else gets the port.
        deaf.bind(("127.0.0.1", 0))
        async with no_tls() as plain, fake_upstream(tls) as self_signed:
            others = {
                "deaf": f"http://127.0.0.1:{deaf.getsockname()[1]}/v1",
                "plain": f"https://127.0.0.1:{plain}/v1",
                "self-signed": self_signed.url,
            }
            async with running_gateway(module_database, patience=SHORT, silence_max_s=SILENCE_S, others=others) as it:
                yield it


@asynccontextmanager
async def no_tls() -> AsyncIterator[int]:
    """The port of a server that answers a TLS greeting as a web server without TLS does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.fixture
async def gateway(shared: Gateway) -> Gateway:
    """The gateway as somebody new with ten dollars uses it."""
    shared.upstream.seen.clear()
    return await shared.newcomer()
