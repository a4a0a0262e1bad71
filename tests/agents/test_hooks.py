"""A server of the customer's is told when a run ends: signed, tried again, and never a host that is not public."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import orjson
import pytest

from agents.house import House
from pouch.agents import wishes
from pouch.agents.hooks import PURPOSE, HookJobs, remove_hook, set_hook
from pouch.base.errors import InvalidInput
from pouch.base.outgoing import check_url
from pouch.base.sealing import Seal
from pouch.base.secret_keys import SecretKeys

pytestmark = pytest.mark.anyio

SEAL = Seal(SecretKeys("the operator's secret"), PURPOSE)


@asynccontextmanager
async def listening(*statuses: int) -> AsyncIterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A server that answers with these, one after the other; its address and what it was sent."""
    heard: list[tuple[dict[str, str], bytes]] = []
    answers = iter(statuses)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = dict(line.split(": ", 1) for line in head)
        heard.append((headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % next(answers))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://localhost:{server.sockets[0].getsockname()[1]}/pouch?from=agents", heard


async def told(house: House, url: str) -> tuple[str, UUID]:
    """A run ends while somebody wants to know; the secret, and the telling."""
    async with house.database.transaction() as db:
        organization = house.alice.organization_id
        secret = await set_hook(db, SEAL, organization, url, private_hosts=["localhost"])
    run = await house.start()
    async with house.database.transaction() as db:
        await wishes.stop(db, run.organization_id, run.id)
        rows = await db.execute("SELECT id FROM agent_hook_deliveries WHERE run_id = %s", (run.id,))
        ((delivery_id,),) = await rows.fetchall()
    return secret, delivery_id


async def state_of(house: House, delivery_id: UUID) -> tuple[str, int]:
    async with house.database.transaction() as db:
        rows = await db.execute("SELECT state, attempts FROM agent_hook_deliveries WHERE id = %s", (delivery_id,))
        ((state, attempts),) = await rows.fetchall()
    return state, attempts


def jobs(house: House, *private_hosts: str) -> HookJobs:
    return HookJobs(house.database, SEAL, private_hosts=private_hosts)


async def test_the_end_of_a_run_is_told_with_a_signature(house: House) -> None:
    async with listening(204) as (url, heard):
        secret, delivery_id = await told(house, url)
        for _ in range(2):
            await jobs(house, "localhost").deliver(delivery_id)
    ((headers, body),) = heard
    moment, _, signature = headers["pouch-signature"].removeprefix("t=").partition(",v1=")
    assert signature == hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    document = orjson.loads(body)
    assert (document["type"], document["run"]["state"]) == ("run.finished", "canceled")
    assert await state_of(house, delivery_id) == ("sent", 1)


async def test_what_is_not_taken_is_told_again(house: House) -> None:
    async with listening(500, 200) as (url, heard):
        _, delivery_id = await told(house, url)
        await jobs(house, "localhost").deliver(delivery_id)
        assert await state_of(house, delivery_id) == ("waiting", 1)
        async with house.database.transaction() as db:
            await db.execute("UPDATE agent_hook_deliveries SET due_at = now()")
        await jobs(house, "localhost").deliver(delivery_id)
    assert len(heard) == 2
    assert heard[0][0]["pouch-delivery"] == heard[1][0]["pouch-delivery"]
    assert await state_of(house, delivery_id) == ("sent", 2)


async def test_a_host_that_is_not_public_is_never_reached(house: House) -> None:
    """It was allowed when it was set, and is not any more; the same as a name that moves to a private address."""
    async with listening(200) as (url, heard):
        _, delivery_id = await told(house, url)
        await jobs(house).deliver(delivery_id)
    assert heard == []
    assert await state_of(house, delivery_id) == ("failed", 1)


@pytest.mark.parametrize(
    "url",
    [
        "http://ci.example.com/x",
        "https://user:pw@ci.example.com/",
        "https://ci.example.com:8443/",
        "https://ci.example.com/#x",
        "https:///x",
        "ftp://ci.example.com",
        "https://ci.example.com/a b",
        "https://ci.example.com/\r\nx: y",
        "https://[::1",
    ],
)
def test_only_plain_https_addresses_are_taken(url: str) -> None:
    with pytest.raises(InvalidInput):
        check_url(url)


async def test_nobody_is_told_any_more_once_it_is_removed(house: House) -> None:
    async with listening() as (url, heard):
        _, delivery_id = await told(house, url)
        async with house.database.transaction() as db:
            await remove_hook(db, house.alice.organization_id)
        await jobs(house, "localhost").deliver(delivery_id)
    assert heard == []
    assert (await state_of(house, delivery_id))[0] == "failed"
