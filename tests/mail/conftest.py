"""A relay and a postman, and words for the one kind of letter that only tests send."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiosmtpd.smtp import SMTP

from mail.fake_relay import FakeRelay
from pouch.base.database import Database
from pouch.mail.compose import Sender
from pouch.mail.jobs import Postman
from pouch.mail.sending import Relay
from pouch.mail.templates import Templates

SITE = "https://pouch.harbor.example"


@pytest.fixture
async def relay() -> AsyncIterator[FakeRelay]:
    relay = FakeRelay()
    open_ones: list[SMTP] = []

    def conversation() -> SMTP:
        loop = asyncio.get_running_loop()
        open_ones.append(SMTP(relay, hostname="relay.test", enable_SMTPUTF8=True, loop=loop))
        return open_ones[-1]

    server = await asyncio.get_running_loop().create_server(conversation, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    yield relay
    server.close()
    for one in open_ones:
        if one.transport is not None:
            one.transport.close()
    await server.wait_closed()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url) as database:
        yield database


@pytest.fixture
def templates() -> Templates:
    return Templates([("mail", "templates")], site_name="Pouch", site_url=SITE)


@pytest.fixture
def postman(database: Database, templates: Templates, relay: FakeRelay) -> Postman:
    return Postman(
        database,
        templates=templates,
        relay=Relay("127.0.0.1", relay.port),
        sender=Sender.parse("Pouch <pouch@harbor.example>"),
    )
