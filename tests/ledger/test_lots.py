"""What is left of which credits: the words of the rule as a slow model beside the code, over any sequence."""

from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from pouch.base.database import Connection
from pouch.base.errors import InvalidInput
from pouch.base.ids import new_id
from pouch.base.money import ZERO, Money
from pouch.ledger import accounts, grants, lots
from pouch.ledger.errors import PostingMismatch
from pouch.ledger.lots import Lot, Spent, after_holds, lots_of, replay, unused_of_purchase
from pouch.ledger.operations import Capture, Hold, Operation, Receivable, Release, Transfer
from pouch.ledger.posting import post
from support.ledger import account_with, hold_of

pytestmark = pytest.mark.anyio

START = datetime(2026, 11, 1, tzinfo=UTC)


def lot(seq: int, usd: int, *, kind: str = "paid", days: int | None = None, cause: UUID | None = None) -> Lot:
    amount = Money.from_cents(usd * 100)
    return Lot(
        new_id(),
        seq,
        START,
        "purchase" if kind == "paid" else "grant",
        amount,
        amount,
        cause,
        grant_kind=None if kind == "paid" else "promotional" if kind == "promotional" else "compensation",
        expires_at=None if days is None else START + timedelta(days=days),
    )


def spent(usd: int, aim: UUID | None = None) -> Spent:
    return Spent(Money.from_cents(usd * 100), aim)


def left(found: Sequence[Lot]) -> list[tuple[int, int]]:
    return [(each.seq, each.left.to_cents() // 100) for each in found]


def test_promotional_first_then_what_expires_soonest_then_the_oldest() -> None:
    came = [
        lot(1, 10),
        lot(2, 10),
        lot(3, 5, kind="given", days=9),
        lot(4, 5, kind="promotional"),
        lot(5, 5, kind="promotional", days=3),
    ]
    order = [5, 4, 3, 1, 2]
    assert [each.seq for each in replay([], came)] == order
    for dollars in range(36):
        (*_,) = standing = replay(came, [spent(dollars)])
        assert sum(each.left.to_cents() for each in standing) == 3500 - dollars * 100
        gone = [seq for seq in order if seq not in {each.seq for each in standing}]
        assert gone == order[: len(gone)], "a lot was touched before an earlier one was empty"


def test_what_is_held_counts_as_spent_next() -> None:
    came = [lot(1, 10), lot(2, 5, kind="promotional", days=3)]
    assert left(after_holds(came, Money.parse("4"))) == [(2, 1), (1, 10)]
    assert left(after_holds(came, Money.parse("8"))) == [(1, 7)]


def test_a_refund_takes_from_its_own_purchase_and_only_then_from_others() -> None:
    purchase = new_id()
    came = [lot(1, 5, kind="promotional"), lot(2, 10), lot(3, 10, cause=purchase)]
    assert left(replay(came, [spent(4, purchase)])) == [(1, 5), (2, 10), (3, 6)]
    assert left(replay(came, [spent(12, purchase)])) == [(1, 3), (2, 10)]


CAME = st.tuples(
    st.just("came"),
    st.sampled_from(["paid", "promotional", "given"]),
    st.sampled_from([None, 1, 2, 3]),
    st.integers(min_value=1, max_value=20),
)
WENT = st.tuples(
    st.just("went"), st.sampled_from(["any", "aimed"]), st.just(None), st.integers(min_value=1, max_value=30)
)


@given(st.lists(st.one_of(CAME, WENT), max_size=25))
def test_any_sequence_is_as_the_words_say_dollar_by_dollar(steps: list[tuple[str, str, int | None, int]]) -> None:
    """The model gives each dollar its own slip and takes slip after slip by the words of the rule."""
    slips: list[Lot] = []
    found: list[Lot] = []
    seq = 0
    for what, kind, days, count in steps:
        if what == "came":
            seq += 1
            new = lot(seq, count, kind=kind, days=days, cause=new_id())
            slips += [new] * count
            found = replay(found, [new])
            continue
        gone = min(count, len(slips))
        aim = slips[0].cause if kind == "aimed" and slips else None
        for _ in range(gone):
            own = [slip for slip in slips if aim is not None and slip.cause == aim]
            promotional = [slip for slip in slips if slip.grant_kind == "promotional"]
            dated = [slip for slip in promotional or slips if slip.expires_at is not None]
            choice = (
                own
                or [
                    slip
                    for slip in dated
                    if slip.expires_at == min(each.expires_at for each in dated if each.expires_at)
                ]
                or promotional
                or slips
            )
            slips.remove(min(choice, key=lambda slip: slip.seq))
        found = replay(found, [spent(gone, aim)])
    counted = {slip.seq: sum(1 for each in slips if each.seq == slip.seq) for slip in slips}
    assert dict(left(found)) == counted


# From here on a real ledger.


async def purchase_of(db: Connection, organization_id: UUID, usd: str) -> UUID:
    purchase_id = new_id()
    credit = Transfer(
        f"pi:{purchase_id}:credit", "stripe_clearing", organization_id, Money.parse(usd).nanos, "purchase", purchase_id
    )
    await post(db, [credit])
    return purchase_id


async def give(
    db: Connection, organization_id: UUID, usd: str, *, key: str = "", days: float | None = None, **more: str
) -> UUID:
    """A grant; its end is so many days from now, and may be moved to the past by `end`."""
    key = key or str(new_id())
    until = None if days is None else await now(db) + timedelta(days=days)
    assert more.keys() <= {"kind"}
    kind: lots.GrantKind = "compensation" if more.get("kind") == "compensation" else "promotional"
    await grants.grant(db, organization_id, Money.parse(usd), key=key, note="", kind=kind, expires_at=until)
    return grants.grant_id_of(key)


async def end(db: Connection, grant_id: UUID) -> None:
    await db.execute("UPDATE ledger_grants SET expires_at = now() - interval '1 second' WHERE id = %s", (grant_id,))


async def now(db: Connection) -> datetime:
    row = await (await db.execute("SELECT now()")).fetchone()
    assert row is not None
    at: datetime = row[0]
    return at


async def spend(db: Connection, organization_id: UUID, usd: str) -> None:
    hold = hold_of(organization_id, usd)
    await post(db, [hold])
    await post(db, [Capture(hold, hold.amount_nanos)])


async def standing(db: Connection, organization_id: UUID) -> list[str]:
    return [each.left.decimal().rstrip("0").rstrip(".") for each in await lots_of(db, organization_id)]


async def test_an_accounts_lots_are_worked_out_from_its_transfers(db: Connection) -> None:
    alice = await account_with(db, "0")
    await purchase_of(db, alice, "10")
    await give(db, alice, "5", days=30)
    await spend(db, alice, "7.5")
    (paid,) = await lots_of(db, alice)
    assert (paid.kind, paid.amount, paid.left, paid.grant_kind) == (
        "purchase",
        Money.parse("10"),
        Money.parse("7.5"),
        None,
    )


async def test_somebody_without_an_account_has_no_lots(db: Connection) -> None:
    assert await lots_of(db, new_id()) == []
    assert await unused_of_purchase(db, new_id(), new_id()) == ZERO


async def test_expired_credits_go_as_a_line_of_their_own(db: Connection) -> None:
    alice = await account_with(db, "0")
    await purchase_of(db, alice, "10")
    gift = await give(db, alice, "5", days=30)
    await spend(db, alice, "2")
    await end(db, gift)
    assert await grants.due(db) == [gift]
    assert await grants.expire(db, gift) == Money.parse("3")
    assert await standing(db, alice) == ["10"]
    assert await grants.expire(db, gift) == ZERO
    assert await grants.due(db) == []
    assert (await accounts.balance(db, alice)).posted == Money.parse("10")


async def test_before_its_time_nothing_expires(db: Connection) -> None:
    alice = await account_with(db, "0")
    gift = await give(db, alice, "5", days=1)
    assert await grants.expire(db, gift) == ZERO
    assert await standing(db, alice) == ["5"]


async def test_an_expiry_takes_from_its_own_lot_only(db: Connection) -> None:
    """The gift is spent already: what was bought stays, and so does the gift that expires later."""
    alice = await account_with(db, "0")
    gift, later = await give(db, alice, "5", days=1), await give(db, alice, "5", days=2)
    await purchase_of(db, alice, "10")
    await spend(db, alice, "5")
    await end(db, gift)
    assert await grants.expire(db, gift) == ZERO
    assert await standing(db, alice) == ["5", "10"]
    assert await grants.due(db) == []
    assert await lots_of(db, alice) != []
    assert (await lots_of(db, alice))[0].id == later


async def test_an_expiry_leaves_what_is_held_and_takes_it_once_it_comes_back(db: Connection) -> None:
    """The call was admitted on these credits, so it may use them up."""
    alice = await account_with(db, "0")
    await purchase_of(db, alice, "10")
    gift = await give(db, alice, "5", days=1)
    hold = hold_of(alice, "3")
    await post(db, [hold])
    await end(db, gift)
    assert await grants.expire(db, gift) == Money.parse("2")
    assert await grants.due(db) == [gift]
    await post(db, [Capture(hold, Money.parse("1").nanos)])
    assert await standing(db, alice) == ["2", "10"]
    assert await grants.expire(db, gift) == Money.parse("2")
    assert await standing(db, alice) == ["10"]


async def test_when_all_is_held_nothing_expires_and_nothing_breaks(db: Connection) -> None:
    alice = await account_with(db, "0")
    gift = await give(db, alice, "5", days=1)
    hold = hold_of(alice, "5")
    await post(db, [hold])
    await end(db, gift)
    assert await grants.expire(db, gift) == ZERO
    await post(db, [Release(hold)])
    assert await grants.expire(db, gift) == Money.parse("5")
    assert (await accounts.balance(db, alice)).posted == ZERO


async def test_what_of_a_purchase_is_unused(db: Connection) -> None:
    """Gifts are spent first, so they keep a purchase whole; what is held is not unused."""
    alice = await account_with(db, "0")
    first, second = await purchase_of(db, alice, "10"), await purchase_of(db, alice, "20")
    await give(db, alice, "5")
    await spend(db, alice, "7")
    await post(db, [hold_of(alice, "1")])
    assert await unused_of_purchase(db, alice, first) == Money.parse("7")
    assert await unused_of_purchase(db, alice, second) == Money.parse("20")
    assert await unused_of_purchase(db, alice, new_id()) == ZERO


async def test_a_refund_is_taken_from_the_purchase_it_is_for(db: Connection) -> None:
    """A refund is a hold that is captured into the clearing account; its cause is the purchase."""
    alice = await account_with(db, "0")
    first, second = await purchase_of(db, alice, "10"), await purchase_of(db, alice, "20")
    hold = hold_of(alice, "15")
    await post(db, [hold])
    await post(db, [Capture(hold, hold.amount_nanos, "refund_clearing", "refund", cause=second, note="Refund")])
    assert await unused_of_purchase(db, alice, first) == Money.parse("10")
    assert await unused_of_purchase(db, alice, second) == Money.parse("5")


async def test_a_debt_is_paid_from_the_purchase_that_pays_it(db: Connection) -> None:
    """And a gift beside it stays what it was."""
    alice = await account_with(db, "0")
    await accounts.open_receivable(db, alice)
    await give(db, alice, "5")
    await post(db, [Transfer(f"owed:{alice}", Receivable(alice), "refund_clearing", Money.parse("4").nanos, "refund")])
    purchase = await purchase_of(db, alice, "10")
    assert await standing(db, alice) == ["5", "6"]
    assert await unused_of_purchase(db, alice, purchase) == Money.parse("6")


async def test_a_grant_that_would_have_expired_already_is_refused(db: Connection) -> None:
    alice = await account_with(db, "0")
    with pytest.raises(InvalidInput):
        await give(db, alice, "5", days=-1)


async def test_a_key_gives_once_and_always_the_same(db: Connection) -> None:
    alice = await account_with(db, "0")
    until = await now(db) + timedelta(days=3)
    five = Money.parse("5")
    assert await grants.grant(db, alice, five, key="k", note="", expires_at=until)
    assert not await grants.grant(db, alice, five, key="k", note="other words", expires_at=until)
    with pytest.raises(PostingMismatch):
        await grants.grant(db, alice, five, key="k", note="")
    with pytest.raises(PostingMismatch):
        await grants.grant(db, alice, five, key="k", note="", expires_at=until, kind="compensation")


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "gift",
                "later gift",
                "compensation",
                "purchase",
                "spend",
                "hold",
                "settle",
                "refund",
                "expire",
                "snapshot",
            ]
        ),
        st.integers(min_value=1, max_value=12),
    ),
    min_size=3,
    max_size=18,
)


@settings(max_examples=25)
@given(steps=STEPS)
async def test_any_history_adds_up_and_no_expiry_takes_from_elsewhere(  # noqa: C901 -- a case for each step
    shared_database_url: str, steps: list[tuple[str, int]]
) -> None:
    """Lots sum to the balance, from a snapshot as from the first line; expiry takes from its lot and from no hold."""
    connecting: Awaitable[AsyncConnection[TupleRow]] = AsyncConnection.connect(shared_database_url)
    async with await connecting as db, db.transaction(force_rollback=True):
        alice = await account_with(db, "0")
        holds: list[Hold] = []
        gifts: list[UUID] = []
        purchases: list[UUID] = []
        for what, dollars in steps:
            usd = str(dollars)
            has = await accounts.balance(db, alice)
            match what:
                case "gift" | "later gift" | "compensation":
                    days = 2 if what == "later gift" else 1
                    kind = "compensation" if what == "compensation" else "promotional"
                    gifts.append(await give(db, alice, usd, days=days, kind=kind))
                case "purchase":
                    purchases.append(await purchase_of(db, alice, usd))
                case "spend" if has.available >= Money.parse(usd):
                    await spend(db, alice, usd)
                case "hold" if has.available >= Money.parse(usd):
                    holds.append(hold_of(alice, usd))
                    await post(db, [holds[-1]])
                case "settle" if holds:
                    hold = holds.pop(0)
                    operation: Operation = Release(hold) if dollars % 2 else Capture(hold, hold.amount_nanos // 2)
                    await post(db, [operation])
                case "refund" if purchases:
                    purchase = purchases[dollars % len(purchases)]
                    unused = await unused_of_purchase(db, alice, purchase)
                    assert unused <= has.available
                    if unused:
                        hold = Hold(new_id(), alice, unused.nanos)
                        await post(db, [hold])
                        await post(db, [Capture(hold, unused.nanos, "refund_clearing", "refund", cause=purchase)])
                        assert await unused_of_purchase(db, alice, purchase) == ZERO
                case "expire" if gifts:
                    await check_expiry(db, alice, gifts[dollars % len(gifts)])
                case "snapshot":
                    row = await (
                        await db.execute("SELECT id FROM ledger_accounts WHERE organization_id = %s", (alice,))
                    ).fetchone()
                    assert row is not None
                    await lots.take_snapshot(db, row[0])
                case _:
                    pass
            await check_sum(db, alice)


async def check_expiry(db: Connection, alice: UUID, gift: UUID) -> None:
    # Ended first: a grant that expires at another time than before was spent in another turn, too.
    await end(db, gift)
    before, has = {each.id: each.left for each in await lots_of(db, alice)}, await accounts.balance(db, alice)
    gone = await grants.expire(db, gift)
    after = {each.id: each.left for each in await lots_of(db, alice)}
    assert before.get(gift, ZERO) - gone == after.get(gift, ZERO)
    assert {id_: nanos for id_, nanos in before.items() if id_ != gift} == {
        id_: nanos for id_, nanos in after.items() if id_ != gift
    }
    now_has = await accounts.balance(db, alice)
    assert now_has.posted == has.posted - gone
    assert now_has.available >= ZERO
    if not has.held:
        assert gift not in after


async def check_sum(db: Connection, alice: UUID) -> None:
    found = await lots_of(db, alice)
    assert sum((each.left for each in found), ZERO) == (await accounts.balance(db, alice)).posted
    assert found == sorted(found, key=lambda each: each.turn)
    async with db.transaction(force_rollback=True):
        await db.execute("DELETE FROM ledger_lot_snapshots")
        assert await lots_of(db, alice) == found, "a snapshot says otherwise than the transfers"
