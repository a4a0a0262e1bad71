"""From a code to credits: one commit, however many try at once."""

from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

import structlog
from psycopg.rows import dict_row

from pouch.base.database import Connection
from pouch.base.ids import derived_id
from pouch.base.money import Money
from pouch.identity.addresses import read_address
from pouch.identity.throttles import Throttle, Throttles
from pouch.identity.welcome import mailbox
from pouch.ledger import grants
from pouch.vouchers.codes import hash_code, read_code
from pouch.vouchers.errors import CodeNotGood, UnknownCode
from pouch.vouchers.types import Redemption

WRONG_PER_PERSON = Throttle("voucher-person", 10, 60 * 60)
"""Codes that are not there, from one person."""
WRONG_PER_CLIENT = Throttle("voucher-client", 30, 60 * 60)
"""The same from one client network, with whatever accounts."""

_log = structlog.get_logger("pouch.vouchers")


class Desk:
    """Takes codes. One for each process: it counts the wrong ones."""

    def __init__(self, throttles: Throttles) -> None:
        self._throttles = throttles

    async def redeem(  # noqa: PLR0913 -- who, for whom, from where, by name
        self,
        db: Connection,
        code: str,
        *,
        attempt: str,
        organization_id: UUID,
        person_id: UUID,
        email: str,
        network: str,
    ) -> Redemption:
        """Give the credits of a code, in the caller's transaction. `attempt` names the form: it redeems once.

        The caller has checked that the person is verified. Raises UnknownCode, CodeNotGood and TooManyRequests.
        """
        limits = ((WRONG_PER_PERSON, str(person_id)), (WRONG_PER_CLIENT, network))
        with self._throttles.attempt(*limits) as tried:
            try:
                return await redeem(
                    db, code, attempt=attempt, organization_id=organization_id, person_id=person_id, email=email
                )
            except UnknownCode:
                tried.count()
                raise


async def redeem(  # noqa: PLR0913 -- who and for whom, by name
    db: Connection, code: str, *, attempt: str, organization_id: UUID, person_id: UUID, email: str
) -> Redemption:
    """As `Desk.redeem`, without counting wrong codes."""
    read = read_code(code)
    if read is None:
        raise UnknownCode
    redemption_id = derived_id(f"voucher redemption:{organization_id}:{attempt}")
    cursor = db.cursor(row_factory=dict_row)
    # The lock makes the uses of one voucher wait for each other: what is counted below stays true until the commit.
    rows = await cursor.execute(
        """
        SELECT id, amount_nanos, uses_max, used, per_person_max, note, credits_days, voided_at IS NOT NULL AS is_voided,
               valid_from > now() AS is_early, valid_from, coalesce(valid_until <= now(), false) AS is_late, now() AS at
          FROM vouchers WHERE code_hash = %s FOR NO KEY UPDATE
        """,
        (hash_code(read),),
    )
    voucher = await rows.fetchone()
    if voucher is None:
        raise UnknownCode
    amount, note = Money(voucher["amount_nanos"]), f"{voucher['note']}"
    known = await _known(db, redemption_id, voucher["id"])
    if known is not None:
        return Redemption(redemption_id, amount, note, _end(known, voucher["credits_days"]), repeated=True)
    mailbox_hash = sha256(mailbox(read_address(email).canonical).encode()).digest()
    by_person = await _count(db, voucher["id"], person_id, mailbox_hash)
    if (why := _not_good(voucher, by_person)) is not None:
        raise CodeNotGood(why)
    await db.execute("UPDATE vouchers SET used = used + 1 WHERE id = %s", (voucher["id"],))
    expires_at = _end(voucher["at"], voucher["credits_days"])
    key = f"voucher:{redemption_id}"
    await grants.grant(db, organization_id, amount, key=key, note=note, expires_at=expires_at, cause=voucher["id"])
    await db.execute(
        """
        INSERT INTO voucher_redemptions
               (id, voucher_id, organization_id, person_id, mailbox_hash, grant_id, redeemed_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        """,
        (
            redemption_id,
            voucher["id"],
            organization_id,
            person_id,
            mailbox_hash,
            grants.grant_id_of(key),
            voucher["at"],
        ),
    )
    _log.info("voucher_redeemed", voucher=str(voucher["id"]), organization=str(organization_id))
    return Redemption(redemption_id, amount, note, expires_at, repeated=False)


def _not_good(voucher: dict[str, object], by_person: int) -> str | None:
    match voucher:
        case {"is_voided": True}:
            return "This code is not good any more."
        case {"is_early": True, "valid_from": datetime() as begins}:
            return f"This code is good from {begins:%Y-%m-%d %H:%M} UTC on."
        case {"is_late": True}:
            return "The time of this code is over."
        case {"per_person_max": int() as most} if by_person >= most:
            return "You have used this code already."
        case {"uses_max": int() as most, "used": int() as used} if used >= most:
            return "This code was used up."
    return None


async def _known(db: Connection, redemption_id: UUID, voucher_id: UUID) -> datetime | None:
    rows = await db.execute(
        "SELECT redeemed_at FROM voucher_redemptions WHERE id = %s AND voucher_id = %s", (redemption_id, voucher_id)
    )
    row = await rows.fetchone()
    return row[0] if row else None


async def _count(db: Connection, voucher_id: UUID, person_id: UUID, mailbox_hash: bytes) -> int:
    rows = await db.execute(
        """
        SELECT count(*) FROM voucher_redemptions
         WHERE voucher_id = %s AND (mailbox_hash = %s OR person_id = %s)
        """,
        (voucher_id, mailbox_hash, person_id),
    )
    row = await rows.fetchone()
    assert row is not None
    return int(row[0])


def _end(at: datetime, days: int | None) -> datetime | None:
    return at + timedelta(days=days) if days is not None else None
