"""The rules of the ledger, without a database: what is admitted, charged and given back.

In words. A batch is judged in the order its operations arrived, each seeing the effect of those before it.

- A **hold** is admitted when no subject of it is blocked, the organization owes nothing, and its amount fits what is
  left and not held of every limit (run, task, key, member, organization) and of the credits. The first that does not
  allow it names itself. A hold that would fit if nothing were held may wait; then every later hold of the batch that
  draws on the same budget waits behind it, so that nobody is overtaken. One that only a top-up under way can make fit
  waits the same way.
- A **capture** of an open hold charges its cost. If the cost is above the hold, it takes what is available beyond the
  hold as well, and the operator bears the rest (`overrun`): never another hold's credits, never a debt.
- A capture of an **expired** hold comes late: the credits were given back. It takes at most what is available.
- A **release** or **expiry** gives an open hold back. Limits count a hold in the period in which it was admitted.
- A **transfer** to a customer raises the balance; money that came or came back (kinds purchase, refund, dispute) first
  pays what the organization owes. A transfer from a customer needs the amount to be available.
- A **take-back** is never refused: it takes what is available, not what is held, and the rest becomes a debt.
- The same id with the same content changes nothing and is answered as before; with other content it is a mismatch.
- After a capture (but that of a refund), and when a hold is refused for credits, the organization's threshold is judged
  (`crossing`).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal, assert_never
from uuid import UUID

from pouch.base.ids import derived_id
from pouch.ledger.accounts import SYSTEM_ACCOUNT_IDS
from pouch.ledger.books import EVER, AccountRow, Books, HoldRow, LimitKind, LimitRow, Period, TransferRow
from pouch.ledger.crossing import CrossingCause, judge_crossing, top_up_of
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
    SystemAccount,
    TakeBack,
    TakenBack,
    Transfer,
    TransferKind,
    debt_payment_id,
)

REFUSAL_ORDER: dict[LimitKind, int] = {"run": 0, "task": 1, "key": 2, "member": 3, "organization": 4}
SOURCES: dict[LimitKind, RefusalSource] = {
    "run": "run_limit",
    "task": "task_limit",
    "key": "key_limit",
    "member": "member_limit",
    "organization": "organization_limit",
}
PAYS_DEBT: frozenset[TransferKind] = frozenset({"purchase", "refund", "dispute"})
"""Money for credits: it came, or it came back after a refund or a dispute."""


def judge(books: Books, operations: Sequence[Operation]) -> list[Answer]:
    """Apply the operations to the books in order and answer each. The rules are in this file's first lines."""
    return [_judge_one(books, operation) for operation in operations]


def _judge_one(books: Books, operation: Operation) -> Answer:  # noqa: PLR0911 -- one for each kind
    match operation:
        case Hold():
            return _place(books, operation)
        case Capture():
            return _capture(books, operation)
        case Release(hold=hold):
            return _give_back(books, hold, "released")
        case Expire(hold=hold):
            return _give_back(books, hold, "expired")
        case Transfer():
            return _transfer(books, operation)
        case TakeBack():
            return _take_back(books, operation)
        case Record():
            return Recorded()
        case _:
            assert_never(operation)


def _place(books: Books, hold: Hold) -> Answer:
    customer = books.customers.get(hold.organization_id)
    if customer is None:
        return Refused("credits", hold.amount_nanos, 0, 0, hold.organization_id)
    known = books.holds.get(hold.id)
    if known is not None:
        same = known.account_id == customer.id and known.amount == hold.amount_nanos and known.state == "open"
        return Admitted() if same else Mismatch(f"hold {hold.id} is {known.state} or was placed with other content")
    limits = _limits_of(books, hold.subjects)
    refused = _first_refusal(books, hold, customer, limits)
    if refused is not None:
        if refused.source == "credits":
            _judge_threshold(books, hold.organization_id, customer, "refusal")
            refused = replace(refused, top_up=top_up_of(books.thresholds.get(hold.organization_id)))
        if refused.may_wait and hold.waits:
            books.queued.add(refused.budget)
        return refused
    amount = hold.amount_nanos
    customer.held += amount
    customer.changed = True
    for limit in limits:
        limit.held += amount
        limit.changed = True
    limit_ids = tuple(limit.id for limit in limits)
    books.holds[hold.id] = HoldRow(customer.id, amount, "open", hold.lease_id, limit_ids, books.at)
    books.new_holds.append(hold.id)
    return Admitted()


def _first_refusal(books: Books, hold: Hold, customer: AccountRow, limits: list[LimitRow]) -> Refused | None:
    amount, organization = hold.amount_nanos, hold.organization_id
    if not books.blocked.isdisjoint(hold.subjects):
        return Refused("blocked", amount, 0, 0, organization)
    receivable = books.receivables.get(organization)
    if receivable is not None and receivable.balance < 0:
        return Refused("debt", amount, 0, 0, organization)
    for limit in limits:
        left = limit.cap - limit.spent
        if left - limit.held < amount or limit.subject in books.queued:
            return Refused(SOURCES[limit.kind], amount, max(0, left - limit.held), max(0, left), limit.subject)
    available = customer.balance - customer.held
    if available < amount or organization in books.queued:
        return Refused("credits", amount, available, customer.balance, organization)
    return None


def _limits_of(books: Books, subjects: tuple[UUID, ...]) -> list[LimitRow]:
    if not books.limits:
        return []
    found = [limit for subject in subjects for limit in books.limits.get(subject, ())]
    for limit in found:
        start = period_start(limit.period, books.at)
        if start > limit.period_start:
            limit.period_start, limit.spent, limit.held, limit.changed = start, 0, 0, True
    found.sort(key=lambda limit: REFUSAL_ORDER[limit.kind])
    return found


def period_start(period: Period, at: datetime) -> datetime:
    """When the period that `at` falls in began, in UTC; weeks begin on Monday."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "ever":
            return EVER
        case _:
            assert_never(period)


def _capture(books: Books, capture: Capture) -> Answer:
    hold, cost = capture.hold, capture.cost_nanos
    customer = books.customers.get(hold.organization_id)
    row = books.holds.get(hold.id)
    if customer is None or row is None or row.account_id != customer.id:
        return Mismatch(f"hold {hold.id} is not known")
    if row.state == "captured":
        if row.captured + row.overrun == cost:
            return Captured(row.captured, row.overrun, repeated=True)
        return Mismatch(f"hold {hold.id} was captured with another cost")
    if row.state == "released":
        return Mismatch(f"hold {hold.id} was released")

    set_aside = row.amount if row.state == "open" else 0
    charged = min(cost, set_aside + customer.balance - customer.held)
    customer.balance -= charged
    customer.held -= set_aside
    customer.changed = True
    for limit in _limits_counting(books, hold, row):
        limit.spent += charged
        limit.held -= set_aside
        limit.changed = True
    if capture.kind != "refund":
        _judge_threshold(books, hold.organization_id, customer, "capture")
    row.captured, row.overrun, row.state = charged, cost - charged, "captured"
    books.closed_holds.append(hold.id)
    revenue = SYSTEM_ACCOUNT_IDS[capture.revenue]
    if charged:
        books.new_transfers.append(
            TransferRow(
                hold.id,
                customer.id,
                revenue,
                charged,
                capture.kind,
                customer.id,
                customer.balance,
                capture.cause,
                capture.note,
            )
        )
    if row.overrun:
        overrun_id = derived_id(f"overrun:{hold.id}")
        books.new_transfers.append(
            TransferRow(
                overrun_id, SYSTEM_ACCOUNT_IDS["overrun"], revenue, row.overrun, "overrun", None, None, hold.id, ""
            )
        )
    return Captured(charged, row.overrun)


def _judge_threshold(books: Books, organization_id: UUID, customer: AccountRow, cause: CrossingCause) -> None:
    made = judge_crossing(books.thresholds.get(organization_id), organization_id, customer.balance, cause)
    if made is not None:
        books.new_crossings.append(made)


def _give_back(books: Books, hold: Hold, state: Literal["released", "expired"]) -> Answer:
    customer = books.customers.get(hold.organization_id)
    row = books.holds.get(hold.id)
    if customer is None or row is None or row.account_id != customer.id:
        return Mismatch(f"hold {hold.id} is not known")
    if row.state == "captured":
        return Mismatch(f"hold {hold.id} was captured")
    if row.state != "open":
        return Closed(repeated=True)
    customer.held -= row.amount
    customer.changed = True
    for limit in _limits_counting(books, hold, row):
        limit.held -= row.amount
        limit.changed = True
    row.state = state
    books.closed_holds.append(hold.id)
    return Closed()


def _limits_counting(books: Books, hold: Hold, row: HoldRow) -> list[LimitRow]:
    # A limit made after the hold never held for it; one whose period has begun since has forgotten it.
    if not row.limit_ids:
        return []
    return [
        limit
        for subject in hold.subjects
        for limit in books.limits.get(subject, ())
        if limit.id in row.limit_ids and limit.period_start <= row.placed_at
    ]


def _transfer(books: Books, transfer: Transfer) -> Answer:
    debit, credit = _row(books, transfer.debit), _row(books, transfer.credit)
    if debit is None or credit is None:
        return Mismatch(f"{transfer.key}: an account is missing")
    new = TransferRow(
        transfer.id,
        debit if isinstance(debit, int) else debit.id,
        credit if isinstance(credit, int) else credit.id,
        transfer.amount_nanos,
        transfer.kind,
        None,
        None,
        transfer.cause,
        transfer.note,
    )
    known = books.transfers.get(transfer.id)
    if known is not None:
        return (
            Posted(repeated=True) if known.same_as(new) else Mismatch(f"{transfer.key} was posted with other content")
        )
    if isinstance(transfer.debit, UUID) and isinstance(debit, AccountRow):
        available = debit.balance - debit.held
        if available < transfer.amount_nanos:
            return Refused("credits", transfer.amount_nanos, available, debit.balance, transfer.debit)
    _post(books, new, debit, credit)
    if transfer.kind in PAYS_DEBT and isinstance(transfer.credit, UUID):
        _pay_debt(books, transfer.credit, transfer)
    return Posted()


def _take_back(books: Books, take: TakeBack) -> Answer:
    customer, receivable = (
        books.customers.get(take.organization_id),
        books.receivables.get(take.organization_id),
    )
    if customer is None or receivable is None:
        return Mismatch(f"{take.key}: an account is missing")
    taken, owed = books.transfers.get(take.id), books.transfers.get(take.debt_id)
    if taken is not None or owed is not None:
        amounts = (taken.amount if taken else 0, owed.amount if owed else 0)
        known = {(row.credit_id, row.kind, row.cause) for row in (taken, owed) if row is not None}
        is_same = sum(amounts) == take.amount_nanos and known == {(_system(take.to), take.kind, take.cause)}
        return TakenBack(*amounts, repeated=True) if is_same else Mismatch(f"{take.key} was taken with other content")
    amount = min(take.amount_nanos, customer.balance - customer.held)
    for id_, account, part in (
        (take.id, customer, amount),
        (take.debt_id, receivable, take.amount_nanos - amount),
    ):
        if part:
            credit = _system(take.to)
            row = TransferRow(id_, account.id, credit, part, take.kind, None, None, take.cause, take.note)
            _post(books, row, account, credit)
    return TakenBack(amount, take.amount_nanos - amount)


def _post(books: Books, new: TransferRow, debit: AccountRow | int, credit: AccountRow | int) -> None:
    if isinstance(debit, AccountRow):
        debit.balance -= new.amount
        debit.changed = True
    if isinstance(credit, AccountRow):
        credit.balance += new.amount
        credit.changed = True
    customer_ids = {row.id for row in books.customers.values()}
    for side in (debit, credit):
        if isinstance(side, AccountRow) and side.id in customer_ids:
            new.customer_id, new.balance_after = side.id, side.balance
    books.transfers[new.id] = new
    books.new_transfers.append(new)


def _pay_debt(books: Books, organization_id: UUID, came: Transfer) -> None:
    customer, receivable = books.customers[organization_id], books.receivables.get(organization_id)
    if receivable is None or receivable.balance >= 0:
        return
    paid = min(-receivable.balance, customer.balance - customer.held)
    if paid:
        row_id = debt_payment_id(came.key)
        note = "Paid what was owed"
        debt = TransferRow(row_id, customer.id, receivable.id, paid, "debt", None, None, came.cause, note)
        _post(books, debt, customer, receivable)


def _row(books: Books, account: Account) -> AccountRow | int | None:
    match account:
        case UUID():
            return books.customers.get(account)
        case Receivable(organization_id=organization_id):
            return books.receivables.get(organization_id)
        case _:
            return _system(account)


def _system(account: SystemAccount) -> int:
    return SYSTEM_ACCOUNT_IDS[account]
