"""How much history there may be: of a task, and of a person, whatever they send and in however many pieces."""

from pouch.base.database import Connection
from pouch.identity.types import PersonId
from pouch.roo.bodies import TooMuch

MESSAGES_MAX = 20_000
TASK_BYTES_MAX = 64 * 1024 * 1024
PERSON_BYTES_MAX = 512 * 1024 * 1024
TASKS_MAX = 20_000
"""Those that were deleted lately count: their rows are still there."""
ROW_BYTES = 100
"""What a message or a call to a model takes beside its text, so that empty ones fill the history, too."""


async def need_room(db: Connection, person_id: PersonId) -> None:
    """Look whether a person's history, with what this transaction added, is as large as it may be.

    One person's additions look one after the other, so that many at the same moment do not pass together. Raises
    TooMuch: the caller's transaction then takes back what it added.
    """
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended('roo_tasks:' || %s, 0))", (str(person_id),))
    rows = await db.execute("SELECT sum(size_bytes), count(*) FROM roo_tasks WHERE person_id = %s", (person_id,))
    row = await rows.fetchone()
    if row is not None and ((row[0] or 0) > PERSON_BYTES_MAX or row[1] > TASKS_MAX):
        raise TooMuch("Your task history is full. Delete tasks, or keep them for a shorter time.")
