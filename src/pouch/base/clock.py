"""Time as something passed in. Money and leases use the database's clock instead; see `ledger`."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Says what time it is, in UTC."""

    def __call__(self) -> datetime:
        """The time now, aware, in UTC."""
        ...


def system_clock() -> datetime:
    """The machine's time in UTC."""
    return datetime.now(UTC)
