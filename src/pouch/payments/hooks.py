"""What the room above wants to hear of payments: it decides when a saved card is charged, and learns what came of it.

Everything here happens in the transaction of what it speaks of.
"""

from typing import Protocol
from uuid import UUID

from pouch.base.database import Connection
from pouch.payments.types import Card, Decline, Mode, Purchase


class Automatic(Protocol):
    """Called in the transaction in which it happens, with the purchase locked, before the ledger is."""

    async def paid(self, db: Connection, purchase: Purchase) -> bool:
        """The purchase is about to be credited. True when it was a top-up or its recovery."""
        ...

    async def declined(self, db: Connection, purchase: Purchase, decline: Decline) -> None:
        """The purchase has ended without money: the bank, or the processor, said no for good."""
        ...

    async def cards_changed(self, db: Connection, organization_id: UUID, mode: Mode) -> None:
        """A card was saved, removed or made the default."""
        ...

    async def suspended(self, db: Connection, organization_id: UUID, reason: str) -> None:
        """A payment is disputed or suspected: nothing may be charged by itself until a person says so again."""
        ...

    async def card_lost_dispute(self, db: Connection, organization_id: UUID, card: Card | None) -> None:
        """A dispute was lost; `card` is the saved card that had paid, if it was one."""
        ...


class Nobody:
    """There is no room above."""

    async def paid(self, _db: Connection, _purchase: Purchase) -> bool:
        """Nothing."""
        return False

    async def declined(self, _db: Connection, _purchase: Purchase, _decline: Decline) -> None:
        """Nothing."""

    async def cards_changed(self, _db: Connection, _organization_id: UUID, _mode: Mode) -> None:
        """Nothing."""

    async def suspended(self, _db: Connection, _organization_id: UUID, _reason: str) -> None:
        """Nothing."""

    async def card_lost_dispute(self, _db: Connection, _organization_id: UUID, _card: Card | None) -> None:
        """Nothing."""
