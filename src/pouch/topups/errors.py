"""What the rule refuses.

PouchError
├── NoCard          409  there is no saved card to charge
├── CardRefused     409  the bank refused this very card for good: another one first
├── Suspended       409  something is owed, disputed or suspected
├── ChargeChanged   409  saving would charge another amount now than the form said
└── LinkEnded       410  a confirmation link that is too old, used, or not ours
"""

from pouch.base.errors import Conflict, PouchError
from pouch.base.money import Money


class NoCard(Conflict):
    """There is no saved card to charge."""

    code = "no_card"

    def __init__(self) -> None:
        super().__init__("Save a card first. Auto top-up charges it when you run low.")


class CardRefused(Conflict):
    """The bank has refused this card for good."""

    code = "card_refused"

    def __init__(self, card: str) -> None:
        super().__init__(f"The bank refused {card} for good. Add another card, and auto top-up goes on with it.")


class Suspended(Conflict):
    """Automatic charges have been stopped."""

    code = "auto_topup_suspended"


class ChargeChanged(Conflict):
    """The person agreed to another charge than the one that saving would make now."""

    code = "charge_changed"

    def __init__(self, charge: Money | None) -> None:
        super().__init__("What saving would charge now has changed. Look at it once more.")
        self.charge = charge


class LinkEnded(PouchError):
    """The link cannot be used, or not any more."""

    code = "link_ended"
    status = 410

    def __init__(self) -> None:
        super().__init__("This link cannot be used any more.")
