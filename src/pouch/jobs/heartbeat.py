"""Whether anybody answers the bell."""

from pouch.base.database import Connection
from pouch.jobs import engine

SILENT_AFTER_S = 30


async def heartbeat(db: Connection) -> bool:
    """Whether any worker of this database showed itself within the last 30 seconds; workers do so every five."""
    silent_s = await engine.last_heartbeat_s(db)
    return silent_s is not None and silent_s < SILENT_AFTER_S
