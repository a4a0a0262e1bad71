"""What is done to the books by the clock: grants expire, and what is left of lots is kept."""

import structlog

from pouch.base.database import Database
from pouch.ledger import grants
from pouch.ledger.lots import accounts_to_snapshot, take_snapshot

SNAPSHOTS_MAX = 500
"""The most accounts of one round; the next one goes on."""

log = structlog.get_logger(__name__)


class Expiry:
    """Takes back what is left of the grants whose time is over. Killed at any point, the next round goes on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self) -> None:
        """Look at every grant that is due, each in a transaction of its own."""
        after = None
        while True:
            async with self._database.transaction() as db:
                due = await grants.due(db, after=after)
            if not due:
                return
            for grant_id in due:
                async with self._database.transaction() as db:
                    gone = await grants.expire(db, grant_id)
                if gone:
                    log.info("grant_expired", grant=str(grant_id), usd=gone.decimal())
            after = due[-1]


class Snapshots:
    """Keeps what is left of the lots of accounts that have changed, once a day each."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self) -> None:
        """One round."""
        async with self._database.transaction() as db:
            account_ids = await accounts_to_snapshot(db, SNAPSHOTS_MAX)
        for account_id in account_ids:
            async with self._database.transaction() as db:
                await take_snapshot(db, account_id)
