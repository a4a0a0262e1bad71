"""The ledger's rules again, written from their words and without their code: slow, plain, one fact in one place.

Nothing is counted along the way. What is held is the sum of the open holds, what an account has is the sum of its
movements, what a limit has left is worked out from the holds that count in its period.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never
from uuid import UUID

from pouch.ledger.operations import (
    Account,
    Admitted,
    Answer,
    Capture,
    Captured,
    Closed,
    Expire,
    Hold,
    Mismatch,
    Operation,
    Posted,
    Receivable,
    Record,
    Recorded,
    RefusalSource,
    Refused,
    Release,
    TakeBack,
    TakenBack,
    Transfer,
)

KINDS: dict[str, RefusalSource] = {
    "run": "run_limit",
    "task": "task_limit",
    "key": "key_limit",
    "member": "member_limit",
    "organization": "organization_limit",
}
"""In the order in which they refuse."""
MISMATCH = Mismatch("")
OVERRUN: Account = "overrun"
REVENUE: Account = "revenue:inference"


@dataclass(eq=False)
class Cap:
    """A limit."""

    subject: UUID
    kind: str
    period: str
    nanos: int


@dataclass(eq=False)
class Held:
    """A hold that was admitted, and what became of it."""

    hold: Hold
    at: datetime
    counts_in: tuple[Cap, ...]
    state: str = "open"
    charged: int = 0
    overrun: int = 0


@dataclass
class Model:
    """The books."""

    now: datetime
    organizations: list[UUID]
    caps: list[Cap] = field(default_factory=list)
    blocked: set[UUID] = field(default_factory=set)
    holds: dict[UUID, Held] = field(default_factory=dict)
    transfers: dict[str, Transfer] = field(default_factory=dict)
    taken: dict[str, tuple[TakeBack, TakenBack]] = field(default_factory=dict)
    movements: list[tuple[Account, Account, int]] = field(default_factory=list)
    """From, to, how much."""

    def balance(self, account: Account) -> int:
        came = sum(amount for _, to, amount in self.movements if to == account)
        return came - sum(amount for from_, _, amount in self.movements if from_ == account)

    def held(self, organization: UUID) -> int:
        return sum(
            held.hold.amount_nanos
            for held in self.holds.values()
            if held.state == "open" and held.hold.organization_id == organization
        )

    def available(self, organization: UUID) -> int:
        return self.balance(organization) - self.held(organization)

    def spent_of(self, cap: Cap) -> int:
        return sum(held.charged for held in self._counting(cap))

    def held_of(self, cap: Cap) -> int:
        return sum(held.hold.amount_nanos for held in self._counting(cap) if held.state == "open")

    def _counting(self, cap: Cap) -> Iterator[Held]:
        today = period_of(cap.period, self.now)
        return (
            held for held in self.holds.values() if cap in held.counts_in and period_of(cap.period, held.at) == today
        )

    def post(self, batch: Sequence[Operation]) -> list[Answer]:
        """What the ledger must answer."""
        waited_for: set[UUID] = set()
        return [self._post(operation, waited_for) for operation in batch]

    def _post(self, operation: Operation, waited_for: set[UUID]) -> Answer:  # noqa: PLR0911 -- one for each kind
        match operation:
            case Hold():
                return self._place(operation, waited_for)
            case Capture():
                return self._capture(operation)
            case Release(hold=hold):
                return self._give_back(hold, "released")
            case Expire(hold=hold):
                return self._give_back(hold, "expired")
            case Transfer():
                return self._transfer(operation)
            case TakeBack():
                return self._take_back(operation)
            case Record():
                return Recorded()
            case _:
                assert_never(operation)

    def _place(self, hold: Hold, waited_for: set[UUID]) -> Answer:
        if hold.organization_id not in self.organizations:
            return Refused("credits", hold.amount_nanos, 0, 0, hold.organization_id)
        if hold.id in self.holds:
            known = self.holds[hold.id]
            is_same = (known.hold.organization_id, known.hold.amount_nanos) == (hold.organization_id, hold.amount_nanos)
            return Admitted() if is_same and known.state == "open" else MISMATCH
        caps = [cap for kind in KINDS for cap in self.caps if cap.kind == kind and cap.subject in hold.subjects]
        for refused in self._refusals(hold, caps, waited_for):
            if refused.left_nanos >= hold.amount_nanos:
                waited_for.add(refused.budget)
            return refused
        self.holds[hold.id] = Held(hold, self.now, tuple(caps))
        return Admitted()

    def _refusals(self, hold: Hold, caps: Sequence[Cap], waited_for: set[UUID]) -> Iterator[Refused]:
        organization, needed = hold.organization_id, hold.amount_nanos
        if self.blocked & set(hold.subjects):
            yield Refused("blocked", needed, 0, 0, organization)
        if self.balance(Receivable(organization)) < 0:
            yield Refused("debt", needed, 0, 0, organization)
        for cap in caps:
            left = cap.nanos - self.spent_of(cap)
            free = left - self.held_of(cap)
            if free < needed or cap.subject in waited_for:
                yield Refused(KINDS[cap.kind], needed, max(0, free), max(0, left), cap.subject)
        free = self.available(organization)
        if free < needed or organization in waited_for:
            yield Refused("credits", needed, free, self.balance(organization), organization)

    def _capture(self, capture: Capture) -> Answer:
        known = self._known(capture.hold)
        if known is None or known.state == "released":
            return MISMATCH
        if known.state == "captured":
            is_same = known.charged + known.overrun == capture.cost_nanos
            return Captured(known.charged, known.overrun, repeated=True) if is_same else MISMATCH
        organization = capture.hold.organization_id
        own = known.hold.amount_nanos if known.state == "open" else 0
        known.charged = min(capture.cost_nanos, own + self.available(organization))
        known.overrun = capture.cost_nanos - known.charged
        known.state = "captured"
        self.movements.append((organization, REVENUE, known.charged))
        self.movements.append((OVERRUN, REVENUE, known.overrun))
        return Captured(known.charged, known.overrun)

    def _give_back(self, hold: Hold, state: str) -> Answer:
        known = self._known(hold)
        if known is None or known.state == "captured":
            return MISMATCH
        if known.state != "open":
            return Closed(repeated=True)
        known.state = state
        return Closed()

    def _known(self, hold: Hold) -> Held | None:
        known = self.holds.get(hold.id)
        return known if known is not None and known.hold.organization_id == hold.organization_id else None

    def _transfer(self, transfer: Transfer) -> Answer:
        if not all(self._exists(account) for account in (transfer.debit, transfer.credit)):
            return MISMATCH
        if transfer.key in self.transfers:
            return Posted(repeated=True) if _content(self.transfers[transfer.key]) == _content(transfer) else MISMATCH
        amount = transfer.amount_nanos
        if isinstance(transfer.debit, UUID) and self.available(transfer.debit) < amount:
            free, has = self.available(transfer.debit), self.balance(transfer.debit)
            return Refused("credits", amount, free, has, transfer.debit)
        self.transfers[transfer.key] = transfer
        self.movements.append((transfer.debit, transfer.credit, amount))
        if transfer.kind in {"purchase", "refund", "dispute"} and isinstance(transfer.credit, UUID):
            owed = -self.balance(Receivable(transfer.credit))
            paid = min(owed, self.available(transfer.credit))
            self.movements.append((transfer.credit, Receivable(transfer.credit), paid))
        return Posted()

    def _take_back(self, take: TakeBack) -> Answer:
        organization = take.organization_id
        if organization not in self.organizations:
            return MISMATCH
        if take.key in self.taken:
            before, answer = self.taken[take.key]
            return TakenBack(answer.taken_nanos, answer.owed_nanos, repeated=True) if before == take else MISMATCH
        taken = min(take.amount_nanos, self.available(organization))
        answer = TakenBack(taken, take.amount_nanos - taken)
        self.taken[take.key] = (take, answer)
        self.movements.append((organization, take.to, taken))
        self.movements.append((Receivable(organization), take.to, answer.owed_nanos))
        return answer

    def _exists(self, account: Account) -> bool:
        organization = account.organization_id if isinstance(account, Receivable) else account
        return not isinstance(organization, UUID) or organization in self.organizations


def _content(transfer: Transfer) -> tuple[object, ...]:
    return transfer.debit, transfer.credit, transfer.amount_nanos, transfer.kind, transfer.cause


def period_of(period: str, at: datetime) -> tuple[int, ...]:
    """What two moments have in common that fall in the same period. UTC; ISO weeks begin on Monday."""
    return {
        "day": (at.year, at.month, at.day),
        "week": tuple(at.isocalendar())[:2],
        "month": (at.year, at.month),
        "ever": (),
    }[period]
