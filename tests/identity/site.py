"""A Pouch with only identity's pages in it, and what its tests look at."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import httpx

from identity.post import PostOffice
from pouch.base.database import Database
from pouch.identity.keyring import KeyRing
from pouch.identity.passwords import Cost, Passwords
from pouch.identity.people import add_person, find_person
from pouch.identity.types import Person
from pouch.settings import Settings
from pouch.web.security import Security

CHEAP = Cost(memory_kib=8, passes=1, lanes=1)
ALICE = "alice@example.com"
PASSWORD = "correct horse battery"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)


class CountingPasswords(Passwords):
    """Passwords that say how often they did the expensive work."""

    def __init__(self, cost: Cost = CHEAP) -> None:
        super().__init__(cost)
        self.hashed = 0
        self.compared = 0

    async def hash(self, text: str) -> str:
        self.hashed += 1
        return await super().hash(text)

    async def verify(self, text: str, hash: str | None) -> bool:  # noqa: A002 -- as in what it extends
        self.compared += 1
        return await super().verify(text, hash)


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Site:
    """A running Pouch with identity's pages."""

    app: Security
    database: Database
    passwords: CountingPasswords
    clock: Clock
    keys: KeyRing
    url: str
    settings: Settings
    post: PostOffice

    def browser(self, address: str = "192.0.2.1", user_agent: str = FIREFOX) -> httpx.AsyncClient:
        """A browser of its own, at a network address."""
        transport = httpx.ASGITransport(app=self.app, client=(address, 4000))
        headers = {"origin": self.url, "user-agent": user_agent}
        return httpx.AsyncClient(transport=transport, base_url=self.url, headers=headers)

    async def person(self, email: str = ALICE, *, verified: bool = True, operator: bool = False) -> Person:
        """Somebody who is registered with the password of all of them."""
        async with self.database.transaction() as db:
            hashed = await CountingPasswords().hash(PASSWORD)
            return await add_person(db, email, hashed, verified=verified, operator=operator)

    @asynccontextmanager
    async def signed_in(self, email: str = ALICE, address: str = "192.0.2.1") -> AsyncIterator[httpx.AsyncClient]:
        """The browser of somebody who is registered, just after their sign-in."""
        async with self.browser(address) as browser:
            answer = await browser.post("/sign-in", data={"email": email, "password": PASSWORD})
            assert answer.status_code == 303, answer.text
            yield browser

    async def find(self, email: str = ALICE) -> Person:
        """Whoever has this address."""
        async with self.database.transaction() as db:
            person = await find_person(db, email)
        assert person is not None
        return person

    async def query(self, sql: str) -> list[tuple[object, ...]]:
        """Look into the database, or move times in it."""
        async with self.database.transaction() as db:
            rows = await db.execute(sql.encode())
            return [tuple(row) for row in await rows.fetchall()] if rows.description else []


OpenSite = Callable[..., AbstractAsyncContextManager[Site]]
