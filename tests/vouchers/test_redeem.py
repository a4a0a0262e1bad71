"""A code becomes credits: once where it may be once, whoever comes at the same time."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.test_lots import now
from pouch.base.database import Connection, Database
from pouch.base.errors import Conflict, InvalidInput, NotFound, TooManyRequests
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.identity.throttles import Throttles
from pouch.ledger import accounts
from pouch.ledger.lots import lots_of
from pouch.vouchers.codes import LETTERS, new_code, read_code
from pouch.vouchers.errors import CodeNotGood, UnknownCode
from pouch.vouchers.making import list_vouchers, make, void
from pouch.vouchers.redeem import WRONG_PER_CLIENT, WRONG_PER_PERSON, Desk, redeem
from pouch.vouchers.types import Redemption, Wish
from support.ledger import account_with

pytestmark = pytest.mark.anyio

FIVE = Wish(Money.parse("5"), "Workshop")


async def take(
    db: Connection,
    code: str,
    organization_id: UUID,
    *,
    person_id: UUID | None = None,
    email: str = "",
    attempt: str = "",
) -> Redemption:
    person = person_id or organization_id
    return await redeem(
        db,
        code,
        attempt=attempt or str(new_id()),
        organization_id=organization_id,
        person_id=person,
        email=email or f"{person.hex}@harbor.example",
    )


async def has(db: Connection, organization_id: UUID) -> str:
    return (await accounts.balance(db, organization_id)).posted.decimal()[:-10]


async def test_a_code_becomes_promotional_credits_with_the_operators_note(db: Connection) -> None:
    alice = await account_with(db, "0")
    _, code = await make(db, replace(FIVE, credits_days=30), made_by="test")
    redeemed = await take(db, f" {code.lower().replace('-', ' ')} ", alice)
    (lot,) = await lots_of(db, alice)
    assert (lot.left, lot.note, lot.grant_kind) == (Money.parse("5"), "Workshop", "promotional")
    assert lot.expires_at == redeemed.expires_at == await now(db) + timedelta(days=30)


async def test_fifty_redeem_a_single_use_code_at_once_and_one_gets_it(database_url: str) -> None:
    together = asyncio.Barrier(50)
    async with Database(database_url, size_max=50) as database:
        async with database.transaction() as db:
            _, code = await make(db, FIVE, made_by="test")
            everybody = [await account_with(db, "0") for _ in range(50)]

        async def one(organization_id: UUID) -> bool:
            try:
                async with database.transaction() as db:
                    await together.wait()
                    await take(db, code, organization_id)
            except CodeNotGood:
                return False
            return True

        assert sum(await asyncio.gather(*(one(each) for each in everybody))) == 1
        async with database.transaction() as db:
            rows = await db.execute("SELECT count(*) FROM ledger_transfers WHERE kind = 'grant'")
            assert await rows.fetchall() == [(1,)]
            assert [each.used for each in await list_vouchers(db)] == [1]


async def test_one_form_sent_fifty_times_at_once_redeems_once(database_url: str) -> None:
    """Each of them is told that it worked."""
    together = asyncio.Barrier(50)
    async with Database(database_url, size_max=50) as database:
        async with database.transaction() as db:
            _, code = await make(db, replace(FIVE, uses_max=100, per_person_max=100), made_by="test")
            alice = await account_with(db, "0")

        async def one() -> Redemption:
            async with database.transaction() as db:
                await together.wait()
                return await take(db, code, alice, attempt="the form")

        told = await asyncio.gather(*(one() for _ in range(50)))
        assert [each.repeated for each in told].count(False) == 1
        assert len({each.id for each in told}) == 1
        async with database.transaction() as db:
            assert await has(db, alice) == "5"


async def test_a_person_uses_a_code_as_often_as_they_may_and_a_new_account_is_no_new_person(db: Connection) -> None:
    alice, again, bob = [await account_with(db, "0") for _ in range(3)]
    _, code = await make(db, replace(FIVE, uses_max=10), made_by="test")
    await take(db, code, alice, email="alice.m@harbor.example")
    with pytest.raises(CodeNotGood, match="already"):
        await take(db, code, alice, email="alice.m@harbor.example")
    with pytest.raises(CodeNotGood, match="already"):
        await take(db, code, again, email="ALICEM+new@harbor.example")
    with pytest.raises(CodeNotGood, match="already"):
        await take(db, code, bob, person_id=alice, email="other@harbor.example")
    await take(db, code, bob, email="bob@harbor.example")
    assert [await has(db, each) for each in (alice, again, bob)] == ["5", "0", "5"]


async def test_a_code_is_good_in_its_time_only(db: Connection) -> None:
    alice = await account_with(db, "0")
    at = await now(db)
    _, early = await make(db, replace(FIVE, valid_from=at + timedelta(hours=1)), made_by="test")
    over = replace(FIVE, valid_from=at - timedelta(hours=2), valid_until=at - timedelta(hours=1))
    _, late = await make(db, over, made_by="test")
    voided, gone = await make(db, FIVE, made_by="test")
    assert await void(db, voided.id)
    for code, why in ((early, "from"), (late, "over"), (gone, "any more")):
        with pytest.raises(CodeNotGood, match=why):
            await take(db, code, alice)
    assert await has(db, alice) == "0"


async def test_what_is_no_code_is_unknown(db: Connection) -> None:
    alice = await account_with(db, "0")
    for text in ("", "A", new_code(), "\x00" * 10, "é" * 12, "x" * 500):
        with pytest.raises(UnknownCode):
            await take(db, text, alice)


async def test_wrong_codes_are_counted_and_right_ones_are_not(db: Connection) -> None:
    """A few an hour for one person, some more for one network; then not even a right one is taken."""
    now_s = 0.0
    desk = Desk(Throttles(lambda: now_s))
    _, code = await make(db, replace(FIVE, uses_max=100, per_person_max=100), made_by="test")
    alice, carol = await account_with(db, "0"), await account_with(db, "0")

    async def tries(text: str, who: UUID, network: str = "192.0.2.1") -> None:
        person = f"{who.hex}@harbor.example"
        await desk.redeem(
            db, text, attempt=str(new_id()), organization_id=who, person_id=who, email=person, network=network
        )

    for _ in range(WRONG_PER_PERSON.count_max):
        with pytest.raises(UnknownCode):
            await tries(new_code(), alice)
        await tries(code, carol)
    with pytest.raises(TooManyRequests):
        await tries(code, alice, network="198.51.100.7")
    for _ in range(WRONG_PER_CLIENT.count_max - WRONG_PER_PERSON.count_max):
        with pytest.raises(UnknownCode):
            await tries(new_code(), new_id())
    with pytest.raises(TooManyRequests):
        await tries(code, carol)
    now_s += 3600
    await tries(code, alice)


async def test_nobody_reads_a_code_in_the_database(db: Connection) -> None:
    made, code = await make(db, FIVE, made_by="test")
    rows = await db.execute("SELECT row_to_json(v)::text FROM vouchers AS v WHERE id = %s", (made.id,))
    row = await rows.fetchone()
    assert row is not None
    assert code not in row[0]
    assert code.replace("-", "") not in row[0]
    assert made.hint == code[-4:]


async def test_an_operators_own_code_is_taken_once(db: Connection) -> None:
    await make(db, FIVE, made_by="test", own_code="Spring-2027")
    with pytest.raises(Conflict):
        await make(db, FIVE, made_by="test", own_code="spr1ng 2O27")
    with pytest.raises(InvalidInput):
        await make(db, FIVE, made_by="test", own_code="no")


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": Money(0)},
        {"uses_max": 0},
        {"per_person_max": 2},
        {"credits_days": 0},
        {"note": " "},
        {"note": "a\nb"},
    ],
)
async def test_what_no_voucher_can_be_is_refused(db: Connection, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await make(db, replace(FIVE, **wrong), made_by="test")
    with pytest.raises(NotFound):
        await void(db, new_id())


@given(st.text(max_size=60))
def test_any_text_is_read_as_letters_and_digits_or_not_at_all(text: str) -> None:
    code = read_code(text)
    assert code is None or (set(code) <= set(LETTERS) and read_code(code) == code)


def test_new_codes_are_read_as_they_are() -> None:
    codes = {new_code() for _ in range(100)}
    assert len(codes) == 100
    assert all(read_code(code) == code.replace("-", "") for code in codes)
