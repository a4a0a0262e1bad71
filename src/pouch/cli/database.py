"""The database of a command: the running one, or the embedded one for a moment."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import AsyncConnection

from pouch.base.database import STATEMENT_TIMEOUT_S, Connection
from pouch.embedded.postgres.running import running_postgres
from pouch.migrate import is_current
from pouch.settings import Settings, SettingsError
from pouch.up.prepare import prepare


@asynccontextmanager
async def transaction(settings: Settings) -> AsyncIterator[Connection]:
    """One transaction on a database of this version: committed at the end of the block, rolled back when it raises.

    The embedded database is brought to this version; the operator's own is not, and raises SettingsError when it is
    not. Raises PostgresUnavailable when the embedded one cannot run.
    """
    async with running_postgres(settings) as url:
        if not await is_current(url):
            if settings.database_url:
                raise SettingsError("The database is not of this version. Run `pouch migrate`.")
            await prepare(settings, url)
        options = f"-c statement_timeout={STATEMENT_TIMEOUT_S}s -c timezone=UTC"
        async with await AsyncConnection.connect(url, options=options) as db:
            yield db
