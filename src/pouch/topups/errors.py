"""What the rule refuses.

PouchError
├── NoCard          409  there is no saved card to charge
├── CardRefused     409  the bank refused this very card for good: another one first
├── Suspended       409  something is owed, disputed or suspected
├── ChargeChanged   409  saving would charge another amount now than the form said
└── LinkEnded       404  a confirmation link that is too old, used, or not ours
"""

from pouch.base.errors import Conflict, NotFound
from pouch.base.languages import say
from pouch.base.money import Money


class NoCard(Conflict):
    """There is no saved card to charge."""

    code = "no_card"

    def __init__(self) -> None:
        super().__init__(say("Save a card first. Auto top-up charges it when you run low."))


class CardRefused(Conflict):
    """The bank has refused this card for good."""

    code = "card_refused"

    def __init__(self, card: str) -> None:
        super().__init__(
            say("The bank refused %(card)s for good. Add another card, and auto top-up goes on with it.", card=card)
        )


class Suspended(Conflict):
    """Automatic charges have been stopped."""

    code = "auto_topup_suspended"


class ChargeChanged(Conflict):
    """The person agreed to another charge than the one that saving would make now."""

    code = "charge_changed"

    def __init__(self, charge: Money | None) -> None:
        super().__init__(say("What saving would charge now has changed. Look at it once more."))
        self.charge = charge


class LinkEnded(NotFound):
    """The link is too old, was used, or was never ours; it never says which."""

    code = "link_ended"

    def __init__(self) -> None:
        super().__init__(say("This link has ended. Each works once, and for a limited time."))
