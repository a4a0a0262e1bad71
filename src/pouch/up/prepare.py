"""Making a database ready for this version and this pouch.toml, as `up` and `pouch migrate` do."""

from psycopg import AsyncConnection

from pouch.catalog.apply import apply_settings
from pouch.migrate import migrate
from pouch.settings import Settings, SettingsError

OLDEST_POSTGRES = 15_00_00


async def prepare(settings: Settings, url: str) -> list[str]:
    """Bring tables and catalog up to date; returns what changed, and what needs a decision, in sentences.

    Safe to repeat, and in any number of processes at once. Raises SettingsError when pouch.toml or the database cannot
    be used.
    """
    async with await AsyncConnection.connect(url, options="-c timezone=UTC") as db:
        if db.info.server_version < OLDEST_POSTGRES:
            raise SettingsError(
                f"POUCH_DATABASE_URL is Postgres {db.info.server_version // 10_000}; it must be 15 or newer."
            )
        applied = [f"Migrated: {name}." for name in await migrate(url)]
        plan = await apply_settings(db, settings)
    return [*applied, *plan.changes, *plan.unconfirmed]
