"""What payments refuse, and what the card processor answers when it does not do what it was asked.

PouchError
├── NoSuchCard          404  not a saved card of this organization
├── NoProcessor         403  this Pouch sells nothing
├── AttemptReused       409  the same attempt was sent with another amount
├── NotRefundable       409  nothing of the purchase can be refunded now
├── RefundChanged       409  another amount would go to the card than the page said
├── ProcessorSilent     503  no answer: it may have happened, so the same request with the same key goes again
│   └── KeyNotTaken          our API key is not taken, which says nothing about what was sent before
└── ProcessorRefused    503  a definite no; nothing happened, and repeating it changes nothing
    ├── KeyReused            the key belongs to a request with other content: look up what that made
    ├── NoSuchObject         the processor does not know the id
    └── CardDeclined         the bank said no to a saved card
"""

from typing import ClassVar
from uuid import UUID

from pouch.base.errors import Conflict, InvalidInput, NotAllowed, NotFound, PouchError, Unavailable
from pouch.base.languages import say
from pouch.base.money import Money
from pouch.payments.parts import Parts
from pouch.web.filters import dollars


class NoProcessor(NotAllowed):
    """Cards cannot be charged here; the operator gives credits by hand."""

    code = "no_processor"

    def __init__(self) -> None:
        super().__init__(say("Credits cannot be bought with a card here. Ask your operator for some."))


class AttemptReused(Conflict):
    """An attempt is one intention: the amount cannot change under it."""

    code = "attempt_reused"

    def __init__(self, purchase_id: UUID, amount: Money) -> None:
        super().__init__(
            say(
                "This form has already started a purchase of %(amount)s. Open Billing again for another one.",
                amount=dollars(amount),
            )
        )
        self.purchase_id = purchase_id
        self.amount = amount


class NotRefundable(Conflict):
    """Nothing of the purchase can be refunded: it is spent, refunded, disputed, or too long ago."""

    code = "not_refundable"

    def __init__(self, purchase_id: UUID) -> None:
        super().__init__(say("Nothing of this purchase can be refunded now."))
        self.purchase_id = purchase_id


class RefundChanged(Conflict):
    """Another amount would go to the card than was shown: `parts` is what it is made of now."""

    code = "refund_changed"

    def __init__(self, parts: Parts) -> None:
        super().__init__(
            say("%(amount)s would go to the card. Look at it, and press once more.", amount=dollars(parts.total))
        )
        self.parts = parts


class ProcessorSilent(Unavailable):
    """The card processor gave no usable answer: whether it did what it was asked is unknown.

    `reason` is for the operator, not for the buyer.
    """

    code = "processor_silent"

    def __init__(self, reason: str) -> None:
        super().__init__(say("The card processor does not answer right now. Try again in a minute."), retry_after_s=60)
        self.reason = reason


class KeyNotTaken(ProcessorSilent):
    """The card processor does not take our API key, or not for this.

    That is decided before anything else is looked at. So it is no answer to a request that was sent before, under
    another key, and whose own answer was lost.
    """


class ProcessorRefused(PouchError):
    """The card processor said no, and nothing was done. `reason` is for the operator, not for the buyer."""

    code: ClassVar[str] = "processor_refused"
    status: ClassVar[int] = 503

    def __init__(self, reason: str, *, param: str | None = None) -> None:
        super().__init__(say("The card processor refused the payment before it began. Nothing was charged."))
        self.reason = reason
        self.param = param
        """Which of the things that were sent it did not take."""


class KeyReused(ProcessorRefused):
    """The idempotency key was used for a request with other content, so something may exist under it."""


class NoSuchObject(ProcessorRefused):
    """The card processor does not know the object."""


class CardDeclined(ProcessorRefused):
    """The bank said no to a payment that exists now, under `payment_id`, unpaid."""

    def __init__(self, reason: str, *, payment_id: str | None) -> None:
        super().__init__(reason)
        self.payment_id = payment_id


class NoSuchCard(NotFound):
    """There is no such saved card."""

    code = "no_such_card"

    def __init__(self) -> None:
        super().__init__("There is no such card.")


class NotSigned(InvalidInput):
    """A webhook whose signature does not hold. Nothing of it is kept."""

    code = "not_signed"
