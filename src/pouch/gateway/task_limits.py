"""What one task of an agent may spend: a limit in the ledger, so that it holds over all processes."""

from uuid import UUID

import psycopg
from psycopg_pool import PoolTimeout

from pouch.base.database import Database
from pouch.base.errors import Unavailable
from pouch.base.ids import derived_id
from pouch.base.money import Money
from pouch.ledger.limits import set_limit

KNOWN_MAX = 10_000


class TaskLimits:
    """Sets the limit of each task once. Without one in the settings it does nothing."""

    def __init__(self, database: Database, cap: Money | None) -> None:
        self._database = database
        self._cap = cap
        self._known: dict[tuple[UUID, str], UUID] = {}

    async def subject(self, person_id: UUID, task_id: str) -> UUID | None:
        """On whose behalf a task's calls are held, its limit set; None when tasks have none.

        Raises Unavailable when the database does not answer.
        """
        if self._cap is None or not task_id:
            return None
        known = self._known.get((person_id, task_id))
        if known is not None:
            return known
        subject = derived_id(f"task:{person_id}:{task_id}")
        try:
            async with self._database.transaction() as db:
                await set_limit(db, subject, kind="task", cap=self._cap)
        except (psycopg.Error, PoolTimeout) as error:
            raise Unavailable("The limit of this task cannot be set right now. Nothing was charged.") from error
        self._known[person_id, task_id] = subject
        if len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]
        return subject
