"""Any sequence of operations, judged by the ledger and by the model beside it: the same answers, the same books.

Once on the rules alone (`admission`), with many examples; once through `post_batch` on a real Postgres, with few.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from ledger.model import Cap, Model
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.ledger.accounts import SYSTEM_ACCOUNT_IDS, balance, open_account, open_receivable
from pouch.ledger.admission import judge, period_start
from pouch.ledger.blocks import block
from pouch.ledger.books import EVER, AccountRow, Books, LimitKind, LimitRow, Period
from pouch.ledger.check import check
from pouch.ledger.limits import limits_of, remove_limits, set_limit
from pouch.ledger.operations import (
    Account,
    Answer,
    Capture,
    Expire,
    Hold,
    Mismatch,
    Operation,
    Receivable,
    Release,
    SystemAccount,
    TakeBack,
    Transfer,
    TransferKind,
)
from pouch.ledger.posting import post_batch

START = datetime(2026, 2, 26, 22, 0, tzinfo=UTC)
"""A Thursday evening shortly before the end of a month."""
ORGANIZATIONS = 2
KINDS: tuple[LimitKind, ...] = get_args(LimitKind)
PERIODS: tuple[Period, ...] = get_args(Period)
FLOWS: tuple[tuple[str, TransferKind], ...] = (
    ("promo>customer", "grant"),
    ("promo>customer", "grant"),
    ("stripe_clearing>customer", "purchase"),
    ("stripe_clearing>customer", "purchase"),
    ("stripe_clearing>customer", "purchase"),
    ("customer>refund_clearing", "refund"),
    ("customer>writeoff", "adjustment"),
    ("receivable>stripe_clearing", "dispute"),
    ("stripe_clearing>customer", "dispute"),
    ("promo>stranger", "grant"),
)

SYSTEM: tuple[SystemAccount, ...] = ("revenue:inference", "overrun", "promo", "stripe_clearing", "refund_clearing")

amounts = st.integers(1, 60)
indexes = st.integers(0, 10_000)
owners = st.sampled_from([0, 0, 0, 0, 1])
"""Mostly the same one, so that things meet."""
caps = st.tuples(st.sampled_from(KINDS), st.sampled_from(PERIODS), st.integers(0, 120))


class RulesAlone:
    """The rules on rows that no database keeps."""

    can_let_time_pass = True

    def __init__(self) -> None:
        self.books = Books(START, {}, {})
        self.moved = Counter[int]()
        self.ids = 0

    def open(self, organization: UUID) -> None:
        self.books.customers[organization] = AccountRow(self._id(), 0, 0)
        self.books.receivables[organization] = AccountRow(self._id(), 0, 0)

    def post(self, batch: Sequence[Operation]) -> list[Answer]:
        books = self.books
        books.new_holds, books.closed_holds, books.new_transfers, books.queued = [], [], [], set()
        answers = judge(books, batch)
        for transfer in books.new_transfers:
            assert transfer.amount > 0
            self.moved[transfer.debit_id] -= transfer.amount
            self.moved[transfer.credit_id] += transfer.amount
            assert transfer.balance_after is None or transfer.balance_after >= 0
        return answers

    def now(self, at: datetime) -> datetime:
        self.books.at = at
        return at

    def limit(self, cap: Cap, kind: LimitKind, period: Period) -> None:
        rows = self.books.limits.setdefault(cap.subject, [])
        known = next((row for row in rows if row.period == period), None)
        if known is not None:
            known.cap = cap.nanos
        else:
            rows.append(LimitRow(self._id(), cap.subject, kind, period, cap.nanos, 0, 0, EVER))

    def unlimit(self, subject: UUID) -> None:
        self.books.limits.pop(subject, None)

    def block(self, subject: UUID) -> None:
        self.books.blocked |= {subject}

    def has(self, organization: UUID) -> tuple[int, int, int]:
        customer = self.books.customers[organization]
        return customer.balance, customer.held, -self.books.receivables[organization].balance

    def system(self, account: SystemAccount) -> int:
        return self.moved[SYSTEM_ACCOUNT_IDS[account]]

    def stands(self, cap: Cap) -> tuple[int, int]:
        (row,) = [row for row in self.books.limits[cap.subject] if row.period == cap.period]
        is_current = row.period_start >= period_start(row.period, self.books.at)
        return (row.spent, row.held) if is_current else (0, 0)

    def close(self) -> None:
        """All transfers come to zero, and for each organization to what it has."""
        rows = [*self.books.customers.values(), *self.books.receivables.values()]
        assert {row.id: self.moved[row.id] for row in rows} == {row.id: row.balance for row in rows}
        assert sum(self.moved.values()) == 0

    def _id(self) -> int:
        self.ids += 1
        return 1000 + self.ids


class OnPostgres:
    """The whole path, in a transaction that is rolled back. Its clock is the database's."""

    can_let_time_pass = False

    def __init__(self, url: str) -> None:
        self.runner = asyncio.Runner()
        self.db: AsyncConnection[TupleRow] = self.runner.run(AsyncConnection.connect(url, options="-c timezone=UTC"))

    def open(self, organization: UUID) -> None:
        self.runner.run(open_account(self.db, organization))
        self.runner.run(open_receivable(self.db, organization))

    def post(self, batch: Sequence[Operation]) -> list[Answer]:
        return self.runner.run(post_batch(self.db, batch))

    def now(self, _at: datetime) -> datetime:
        async def clock() -> datetime:
            row = await (await self.db.execute("SELECT clock_timestamp()")).fetchone()
            assert row is not None
            at: datetime = row[0]
            return at

        return self.runner.run(clock())

    def limit(self, cap: Cap, kind: LimitKind, period: Period) -> None:
        self.runner.run(set_limit(self.db, cap.subject, kind=kind, period=period, cap=Money(cap.nanos)))

    def unlimit(self, subject: UUID) -> None:
        self.runner.run(remove_limits(self.db, subject))

    def block(self, subject: UUID) -> None:
        self.runner.run(block(self.db, subject))

    def has(self, organization: UUID) -> tuple[int, int, int]:
        found = self.runner.run(balance(self.db, organization))
        return found.posted.nanos, found.held.nanos, found.debt.nanos

    def system(self, account: SystemAccount) -> int:
        return self.runner.run(self._moved(SYSTEM_ACCOUNT_IDS[account]))

    async def _moved(self, account_id: int) -> int:
        rows = await self.db.execute(
            """
            SELECT coalesce(sum(CASE credit_account_id WHEN %(id)s THEN amount_nanos ELSE -amount_nanos END), 0)::bigint
              FROM ledger_transfers WHERE %(id)s IN (credit_account_id, debit_account_id)
            """,
            {"id": account_id},
        )
        row = await rows.fetchone()
        assert row is not None
        moved: int = row[0]
        return moved

    def stands(self, cap: Cap) -> tuple[int, int]:
        found = self.runner.run(limits_of(self.db, [cap.subject]))
        (limit,) = [limit for limit in found[cap.subject] if limit.period == cap.period]
        return limit.spent.nanos, limit.held.nanos

    def close(self) -> None:
        try:
            assert self.runner.run(check(self.db)) == []
        finally:
            self.runner.run(self.db.close())
            self.runner.close()


class Machine(RuleBasedStateMachine):
    """Fills a batch, posts it, compares."""

    def __init__(self, ledger: RulesAlone | OnPostgres) -> None:
        super().__init__()
        self.ledger = ledger
        self.organizations = [new_id() for _ in range(ORGANIZATIONS)]
        self.subjects = {kind: new_id() for kind in KINDS}
        self.model = Model(START, self.organizations)
        self.batch: list[Operation] = []
        self.holds: list[Hold] = []
        self.captures: list[Capture] = []
        self.transfers: list[Transfer] = []
        self.taken: list[TakeBack] = []
        self.numbers = 0

    @initialize(has=st.integers(0, 300), caps=st.lists(caps, max_size=3))
    def begin(self, has: int, caps: list[tuple[LimitKind, Period, int]]) -> None:
        self.subjects["organization"] = self.organizations[0]
        for organization, amount in zip(self.organizations, (has, 50), strict=True):
            self.ledger.open(organization)
            if amount:
                self._move("promo", organization, amount, "grant")
        for cap in caps:
            self.limit(cap)
        self.post()

    # ------------------------------------------------------------ what a batch is made of

    @rule(whose=owners, amount=amounts, in_run=st.booleans())
    def hold(self, whose: int, amount: int, in_run: bool) -> None:
        organization = self.organizations[whose]
        kinds: list[LimitKind] = ["run", "key", "member"] if in_run else ["key", "member"]
        subjects = (*(self.subjects[kind] for kind in kinds), organization)
        self.holds.append(Hold(new_id(), organization, amount, subjects))
        self.batch.append(self.holds[-1])

    @rule(whose=owners, amount=amounts, part=st.integers(0, 4))
    def call(self, whose: int, amount: int, part: int) -> None:
        """A hold and its capture in one batch; now and then it cost more than was held."""
        self.hold(whose, amount, in_run=False)
        self.captures.append(Capture(self.holds[-1], amount * part // 3))
        self.batch.append(self.captures[-1])

    @precondition(lambda self: self.holds)
    @rule(which=indexes, odd=st.sampled_from(["same", "same", "amount", "organization", "unknown"]))
    def hold_again(self, which: int, odd: str) -> None:
        self.batch.append(self._odd(self._hold(which), odd))

    @precondition(lambda self: self.holds)
    @rule(which=indexes, cost=st.integers(0, 90), odd=st.sampled_from(["same"] * 8 + ["organization", "unknown"]))
    def capture(self, which: int, cost: int, odd: str) -> None:
        self.captures.append(Capture(self._odd(self._hold(which), odd), cost))
        self.batch.append(self.captures[-1])

    @precondition(lambda self: self.captures)
    @rule(which=indexes, more=st.sampled_from([0, 0, 0, 1]))
    def capture_again(self, which: int, more: int) -> None:
        capture = self.captures[which % len(self.captures)]
        self.batch.append(Capture(capture.hold, capture.cost_nanos + more))

    @precondition(lambda self: self.holds)
    @rule(which=indexes, kind=st.sampled_from([Release, Expire]), odd=st.sampled_from(["same"] * 8 + ["organization"]))
    def give_back(self, which: int, kind: Callable[[Hold], Release | Expire], odd: str) -> None:
        self.batch.append(kind(self._odd(self._hold(which), odd)))

    @rule(whose=owners, amount=amounts, flow=st.sampled_from(FLOWS))
    def transfer(self, whose: int, amount: int, flow: tuple[str, TransferKind]) -> None:
        organization = self.organizations[whose]
        named: dict[str, Account] = {
            "customer": organization,
            "receivable": Receivable(organization),
            "stranger": new_id(),
            "promo": "promo",
            "stripe_clearing": "stripe_clearing",
            "refund_clearing": "refund_clearing",
            "writeoff": "writeoff",
        }
        debit, credit = (named[name] for name in flow[0].split(">"))
        self._move(debit, credit, amount, flow[1])

    @precondition(lambda self: self.transfers)
    @rule(which=indexes, more=st.sampled_from([0, 0, 0, 1]))
    def transfer_again(self, which: int, more: int) -> None:
        known = self.transfers[which % len(self.transfers)]
        again = Transfer(known.key, known.debit, known.credit, known.amount_nanos + more, known.kind, note="said anew")
        self.batch.append(again)

    @rule(whose=owners, amount=amounts, to=st.sampled_from(["stripe_clearing", "refund_clearing"]))
    def take_back(self, whose: int, amount: int, to: SystemAccount) -> None:
        """A refund or a dispute; now and then of more than is there."""
        self.numbers += 1
        organization = self.organizations[whose]
        self.taken.append(TakeBack(f"{self.organizations[0]} {self.numbers}", organization, to, amount, "refund"))
        self.batch.append(self.taken[-1])

    @precondition(lambda self: self.taken)
    @rule(which=indexes, more=st.sampled_from([0, 0, 0, 1]))
    def take_back_again(self, which: int, more: int) -> None:
        known = self.taken[which % len(self.taken)]
        self.batch.append(TakeBack(known.key, known.organization_id, known.to, known.amount_nanos + more, known.kind))

    # ------------------------------------------------------------ what happens between batches

    @rule()
    def post(self) -> None:
        self.model.now = self.ledger.now(self.model.now)
        expected = self.model.post(self.batch)
        answers = self.ledger.post(self.batch)
        assert [_plain(answer) for answer in answers] == [_plain(answer) for answer in expected]
        self.batch = []

    @rule(wanted=caps)
    def limit(self, wanted: tuple[LimitKind, Period, int]) -> None:
        self.post()
        kind, period, nanos = wanted
        cap = Cap(self.subjects[kind], kind, period, nanos)
        known = [each for each in self.model.caps if (each.subject, each.period) == (cap.subject, period)]
        if known:
            known[0].nanos = nanos
        else:
            self.model.caps.append(cap)
        self.ledger.limit(cap, kind, period)

    @precondition(lambda self: self.model.caps)
    @rule(which=indexes)
    def unlimit(self, which: int) -> None:
        self.post()
        subject = self.model.caps[which % len(self.model.caps)].subject
        self.model.caps = [cap for cap in self.model.caps if cap.subject != subject]
        self.ledger.unlimit(subject)

    @rule()
    def block(self) -> None:
        """The run ends; whoever is blocked stays so."""
        self.post()
        self.model.blocked.add(self.subjects["run"])
        self.ledger.block(self.subjects["run"])

    @precondition(lambda self: self.ledger.can_let_time_pass)
    @rule(hours=st.sampled_from([1, 3, 24, 24 * 4, 24 * 9, 24 * 40]))
    def let_time_pass(self, hours: int) -> None:
        self.post()
        self.model.now += timedelta(hours=hours)

    # ------------------------------------------------------------ what is true after each

    @invariant()
    def nothing_is_below_zero_and_all_is_as_the_model_says(self) -> None:
        if self.batch:
            return
        self.model.now = self.ledger.now(self.model.now)
        for organization in self.organizations:
            posted, held, debt = self.ledger.has(organization)
            assert posted - held >= 0
            assert debt >= 0
            assert held == self.model.held(organization)
            assert posted == self.model.balance(organization)
            assert debt == -self.model.balance(Receivable(organization))
        for account in SYSTEM:
            assert self.ledger.system(account) == self.model.balance(account)
        for cap in self.model.caps:
            assert self.ledger.stands(cap) == (self.model.spent_of(cap), self.model.held_of(cap))

    def teardown(self) -> None:
        try:
            self.post()
        finally:
            self.ledger.close()

    def _hold(self, which: int) -> Hold:
        # Of the newest ones mostly: those are open.
        return self.holds[-1 - which % min(len(self.holds), 8)]

    def _odd(self, hold: Hold, odd: str) -> Hold:
        other = next(each for each in self.organizations if each != hold.organization_id)
        changed = {
            "amount": Hold(hold.id, hold.organization_id, hold.amount_nanos + 1, hold.subjects),
            "organization": Hold(hold.id, other, hold.amount_nanos, hold.subjects),
            "unknown": Hold(new_id(), new_id(), hold.amount_nanos, hold.subjects),
        }
        return changed.get(odd, hold)

    def _move(self, debit: Account, credit: Account, amount: int, kind: TransferKind) -> None:
        self.numbers += 1
        key = f"{self.organizations[0]} {self.numbers}"
        self.transfers.append(Transfer(key, debit, credit, amount, kind))
        self.batch.append(self.transfers[-1])


def _plain(answer: Answer) -> Answer:
    return Mismatch("") if isinstance(answer, Mismatch) else answer


def play(make: Callable[[], RulesAlone | OnPostgres], *, examples: int, steps: int) -> None:
    quietly = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    # Its type asks for a class; it calls whatever it is given.
    run_state_machine_as_test(lambda: Machine(make()), settings=quietly)  # type: ignore[arg-type]


def test_the_rules_answer_as_the_model_does() -> None:
    play(RulesAlone, examples=200, steps=60)


def test_postgres_answers_as_the_model_does(shared_database_url: str) -> None:
    play(lambda: OnPostgres(shared_database_url), examples=8, steps=40)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_rules_answer_as_the_model_does_for_long() -> None:
    play(RulesAlone, examples=1500, steps=120)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_postgres_answers_as_the_model_does_for_long(shared_database_url: str) -> None:
    play(lambda: OnPostgres(shared_database_url), examples=100, steps=100)
