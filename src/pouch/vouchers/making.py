"""Making, listing and voiding vouchers: the operator's side."""

from uuid import UUID

from psycopg.rows import DictRow, dict_row

from pouch.base.database import Connection
from pouch.base.errors import Conflict, InvalidInput, NotFound
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.vouchers.codes import check_own_code, hash_code, new_code
from pouch.vouchers.types import Voucher, Wish

NOTE_LENGTH_MAX = 200
USES_MAX, DAYS_MAX = 1_000_000, 3_650

COLUMNS = """
id, hint, amount_nanos, uses_max, used, per_person_max, valid_from, valid_until, credits_days, note, made_by,
created_at, voided_at, batch_id
"""


async def make(db: Connection, wish: Wish, *, made_by: str, own_code: str | None = None) -> tuple[Voucher, str]:
    """Make a voucher; its code is in the answer and nowhere else. Raises InvalidInput, and Conflict for a used code."""
    check(wish, own_code)
    shown = own_code or new_code()
    code = check_own_code(shown)
    cursor = db.cursor(row_factory=dict_row)
    made = await cursor.execute(
        f"""
        INSERT INTO vouchers (id, code_hash, hint, amount_nanos, uses_max, per_person_max, valid_from, valid_until,
                              credits_days, note, made_by)
        VALUES (%s, %s, %s, %s, %s, %s, coalesce(%s, now()), %s, %s, %s, %s)
        ON CONFLICT ON CONSTRAINT vouchers_code DO NOTHING
        RETURNING {COLUMNS}
        """,
        (
            new_id(),
            hash_code(code),
            code[-4:],
            wish.amount.nanos,
            wish.uses_max,
            wish.per_person_max,
            wish.valid_from,
            wish.valid_until,
            wish.credits_days,
            wish.note,
            made_by,
        ),
    )
    row = await made.fetchone()
    if row is None:
        raise Conflict("There is a voucher with this code already.")
    return voucher_of(row), shown


async def list_vouchers(db: Connection, limit: int = 200) -> list[Voucher]:
    """The newest first."""
    cursor = db.cursor(row_factory=dict_row)
    rows = await cursor.execute(f"SELECT {COLUMNS} FROM vouchers ORDER BY id DESC LIMIT %s", (limit,))
    return [voucher_of(row) for row in await rows.fetchall()]


async def void(db: Connection, voucher_id: UUID) -> bool:
    """Let nobody redeem it any more; what was redeemed stays. False when it was voided before. Raises NotFound."""
    rows = await db.execute(
        """
        UPDATE vouchers SET voided_at = coalesce(voided_at, now()) WHERE id = %s
        RETURNING voided_at = now()
        """,
        (voucher_id,),
    )
    row = await rows.fetchone()
    if row is None:
        raise NotFound("There is no such voucher.")
    return bool(row[0])


def check(wish: Wish, own_code: str | None = None) -> None:
    """Raise InvalidInput for what no voucher can be."""
    if own_code is not None:
        check_own_code(own_code)
    if not wish.amount.nanos > 0:
        raise InvalidInput("A voucher is worth more than nothing.", field="amount_usd")
    if not 1 <= wish.per_person_max <= wish.uses_max <= USES_MAX:
        raise InvalidInput(f"Uses are from 1 to {USES_MAX:,}, and for one person no more than in all.", field="uses")
    if wish.credits_days is not None and not 1 <= wish.credits_days <= DAYS_MAX:
        raise InvalidInput(f"Credits last from 1 to {DAYS_MAX:,} days.", field="credits_days")
    if not 1 <= len(wish.note.strip()) <= NOTE_LENGTH_MAX or not wish.note.isprintable():
        raise InvalidInput(f"A note is one line of 1 to {NOTE_LENGTH_MAX} characters.", field="note")
    if wish.valid_until and wish.valid_from and wish.valid_until <= wish.valid_from:
        raise InvalidInput("A voucher ends after it begins.", field="valid_until")


def voucher_of(row: DictRow) -> Voucher:
    """The voucher of a row with these columns."""
    return Voucher(amount=Money(row.pop("amount_nanos")), **row)
