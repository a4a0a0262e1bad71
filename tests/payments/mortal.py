"""A process that dies: at its n-th transaction, right before the commit or right after it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pouch.base.database import Connection, Database


class PowerCut(BaseException):
    """The process is gone. No handler of ours may catch it."""


class MortalDatabase(Database):
    """A real database, but the process dies at its n-th transaction: right before the commit, or right after it."""

    def __init__(self, url: str, *, dies_at: int, commits: bool) -> None:
        super().__init__(url)
        self._dies_at = dies_at
        self._commits = commits
        self.count = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        self.count += 1
        dies = self.count == self._dies_at
        async with super().transaction() as db:
            yield db
            if dies and not self._commits:
                raise PowerCut
        if dies:
            raise PowerCut
