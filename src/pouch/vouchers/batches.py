"""Vouchers that are made together, their codes, and who redeemed one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import dict_row

from pouch.base.database import Connection
from pouch.base.errors import InvalidInput, NotFound
from pouch.base.ids import derived_id
from pouch.base.money import Money
from pouch.vouchers.codes import hash_code, read_code
from pouch.vouchers.making import COLUMNS, make, voucher_of
from pouch.vouchers.types import Voucher, Wish

SIZE_MAX = 1_000
"""The most that one batch holds: its codes are one page."""


@dataclass(frozen=True, slots=True)
class Redeemed:
    """Who used a voucher, and when."""

    organization_id: UUID
    person_id: UUID
    grant_id: UUID
    at: datetime


def worth(wish: Wish, size: int) -> Money:
    """What a batch gives away if every use of it is made."""
    return Money(wish.amount.nanos * wish.uses_max * size)


def check_size(size: int, own_code: str | None) -> None:
    """Raise InvalidInput for a batch that cannot be made."""
    if not 1 <= size <= SIZE_MAX:
        raise InvalidInput(f"A batch has from 1 to {SIZE_MAX:,} codes.", field="count")
    if own_code and size > 1:
        raise InvalidInput("One code of your own is one voucher.", field="code")


async def make_batch(  # noqa: PLR0913 -- what is made, by whom, by name
    db: Connection, key: str, wish: Wish, size: int, *, made_by: str, own_code: str | None = None
) -> list[tuple[Voucher, str]] | None:
    """Make so many vouchers, with their codes, which are nowhere else. None when this key made its batch before.

    Raises InvalidInput, and Conflict for a code of one's own that is used.
    """
    check_size(size, own_code)
    batch_id = derived_id(f"voucher batch:{key}")
    added = await db.execute(
        "INSERT INTO voucher_batches (id, made_by, size) VALUES (%s, %s, %s) ON CONFLICT (id) DO NOTHING",
        (batch_id, made_by, size),
    )
    if added.rowcount == 0:
        return None
    made = [await make(db, wish, made_by=made_by, own_code=own_code) for _ in range(size)]
    await db.execute(
        "UPDATE vouchers SET batch_id = %s WHERE id = ANY(%s)", (batch_id, [voucher.id for voucher, _ in made])
    )
    return made


async def find_voucher(db: Connection, voucher_id: UUID) -> Voucher:
    """One voucher. Raises NotFound."""
    cursor = db.cursor(row_factory=dict_row)
    rows = await cursor.execute(f"SELECT {COLUMNS} FROM vouchers WHERE id = %s", (voucher_id,))
    row = await rows.fetchone()
    if row is None:
        raise NotFound("There is no such voucher.")
    return voucher_of(row)


async def of_codes(db: Connection, codes: Sequence[str]) -> list[tuple[str, Voucher]]:
    """Those of the codes that there are, with their vouchers, in the same order."""
    hashes = {hash_code(read): code for code in codes if (read := read_code(code)) is not None}
    cursor = db.cursor(row_factory=dict_row)
    rows = await cursor.execute(f"SELECT code_hash, {COLUMNS} FROM vouchers WHERE code_hash = ANY(%s)", (list(hashes),))
    found = {hashes[bytes(row.pop("code_hash"))]: voucher_of(row) for row in await rows.fetchall()}
    return [(code, found[code]) for code in codes if code in found]


async def size_of_batch(db: Connection, batch_id: UUID) -> int:
    """How many vouchers of a batch can still be voided."""
    rows = await db.execute("SELECT count(*) FROM vouchers WHERE batch_id = %s AND voided_at IS NULL", (batch_id,))
    row = await rows.fetchone()
    assert row is not None
    return int(row[0])


async def void_batch(db: Connection, batch_id: UUID) -> int:
    """Let nobody redeem any of a batch any more; what was redeemed stays. How many were voided now."""
    moved = await db.execute(
        "UPDATE vouchers SET voided_at = now() WHERE batch_id = %s AND voided_at IS NULL", (batch_id,)
    )
    return moved.rowcount


async def redemptions(db: Connection, voucher_id: UUID, limit: int = 200) -> list[Redeemed]:
    """Who used a voucher, newest first."""
    rows = await db.execute(
        """
        SELECT organization_id, person_id, grant_id, redeemed_at FROM voucher_redemptions
         WHERE voucher_id = %s ORDER BY redeemed_at DESC, id LIMIT %s
        """,
        (voucher_id, limit),
    )
    return [Redeemed(*row) for row in await rows.fetchall()]
