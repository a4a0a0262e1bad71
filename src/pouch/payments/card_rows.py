"""The rows of saved cards, and of visits to the page where one is saved."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from psycopg.rows import class_row

from pouch.base.database import Connection
from pouch.base.ids import new_id, show_id
from pouch.jobs.claims import ERROR_CHARACTERS_MAX, Claim
from pouch.payments.errors import NoSuchCard
from pouch.payments.types import Card, CardFacts, Mode, Session

SETUPS = "payment_card_setups"

_COLUMNS = """
id, organization_id, mode, stripe_id, brand, last4, exp_month, exp_year, fingerprint, is_default, email, added_at,
removed_at
"""
_SETUP_COLUMNS = """
id, organization_id, person_id, email, attempt, mode, state, session_expires_at, session_id, session_url, card_id
"""

SetupState = Literal["created", "open", "done", "failed", "expired"]


@dataclass(frozen=True, slots=True)
class CardSetup:
    """One visit to the processor's page to save a card."""

    id: UUID
    organization_id: UUID
    person_id: UUID
    email: str
    attempt: str
    mode: Mode
    state: SetupState
    session_expires_at: datetime
    session_id: str | None
    session_url: str | None
    card_id: UUID | None

    @property
    def shown_id(self) -> str:
        """The id as people, links and the card processor see it."""
        return show_id("set", self.id)


async def list_cards(db: Connection, organization_id: UUID, mode: Mode) -> list[Card]:
    """The saved cards of an organization, the default one first, then the newest."""
    return await _read(
        db,
        "WHERE organization_id = %s AND mode = %s AND removed_at IS NULL ORDER BY is_default DESC, id DESC LIMIT 50",
        organization_id,
        mode,
    )


async def every_card(db: Connection, organization_id: UUID) -> list[Card]:
    """The saved cards of an organization, those that were removed among them."""
    return await _read(db, "WHERE organization_id = %s ORDER BY id", organization_id)


async def default_card(db: Connection, organization_id: UUID, mode: Mode) -> Card | None:
    """The card that is charged when nobody chooses."""
    found = await _read(db, "WHERE organization_id = %s AND mode = %s AND is_default", organization_id, mode)
    return next(iter(found), None)


async def get_card(db: Connection, organization_id: UUID, card_id: UUID) -> Card:
    """A saved card of this organization. Raises NoSuchCard for everybody else's and for one that was removed."""
    found = await _read(db, "WHERE organization_id = %s AND id = %s AND removed_at IS NULL", organization_id, card_id)
    if not found:
        raise NoSuchCard
    return found[0]


async def find_method(db: Connection, mode: Mode, stripe_id: str) -> Card | None:
    """The card with this id at the processor, removed or not."""
    return next(iter(await _read(db, "WHERE mode = %s AND stripe_id = %s", mode, stripe_id)), None)


async def lock_cards(db: Connection, organization_id: UUID) -> None:
    """Let one change of an organization's cards be made at a time, until the transaction ends."""
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended('payment_cards:' || %s, 0))", (organization_id,))


async def add_card(  # noqa: PLR0913, PLR0917 -- whose card, and what is known of it
    db: Connection, organization_id: UUID, mode: Mode, stripe_id: str, facts: CardFacts, email: str
) -> Card:
    """Keep a card. The first one is the default. Call it with the cards locked."""
    await db.execute(
        """
        INSERT INTO payment_cards
               (id, organization_id, mode, stripe_id, brand, last4, exp_month, exp_year, fingerprint, email, is_default)
        SELECT %(id)s, %(organization)s, %(mode)s, %(stripe_id)s, %(brand)s, %(last4)s, %(month)s, %(year)s,
               %(fingerprint)s, %(email)s,
               NOT EXISTS (SELECT FROM payment_cards
                            WHERE organization_id = %(organization)s AND mode = %(mode)s AND is_default)
        """,
        {
            "id": new_id(),
            "organization": organization_id,
            "mode": mode,
            "stripe_id": stripe_id,
            "brand": facts.brand,
            "last4": facts.last4,
            "month": facts.exp_month,
            "year": facts.exp_year,
            "fingerprint": facts.fingerprint or stripe_id,
            "email": email,
        },
    )
    card = await find_method(db, mode, stripe_id)
    assert card is not None
    return card


async def update_card(db: Connection, card: Card, facts: CardFacts) -> None:
    """The bank has sent a new card for the same account: its end, and perhaps its number, are others now."""
    await db.execute(
        """
        UPDATE payment_cards SET brand = %s, last4 = %s, exp_month = %s, exp_year = %s, fingerprint = %s WHERE id = %s
        """,
        (facts.brand, facts.last4, facts.exp_month, facts.exp_year, facts.fingerprint or card.fingerprint, card.id),
    )


async def remove_card(db: Connection, card: Card) -> bool:
    """Charge it no more. False when it was removed before."""
    removed = await db.execute(
        "UPDATE payment_cards SET removed_at = now(), is_default = false WHERE id = %s AND removed_at IS NULL",
        (card.id,),
    )
    return removed.rowcount == 1


async def remove_all(db: Connection, organization_id: UUID, mode: Mode) -> None:
    """Charge none of an organization's cards any more. Call it with the cards locked."""
    await db.execute(
        """
        UPDATE payment_cards SET removed_at = now(), is_default = false
         WHERE organization_id = %s AND mode = %s AND removed_at IS NULL
        """,
        (organization_id, mode),
    )


async def removed_cards(db: Connection, mode: Mode, limit: int, organization_id: UUID | None = None) -> list[Card]:
    """The removed cards that the processor has not taken off its customer yet: everybody's, or an organization's."""
    return await _read(
        db,
        """
        WHERE mode = %s AND removed_at IS NOT NULL AND detached_at IS NULL
          AND organization_id = coalesce(%s, organization_id)
        ORDER BY removed_at LIMIT %s
        """,
        mode,
        organization_id,
        limit,
    )


async def mark_detached(db: Connection, card: Card) -> None:
    """The processor has forgotten it."""
    await db.execute("UPDATE payment_cards SET detached_at = now() WHERE id = %s AND detached_at IS NULL", (card.id,))


async def set_default(db: Connection, card: Card) -> None:
    """Make it the organization's default. Call it with the cards locked."""
    await db.execute(
        "UPDATE payment_cards SET is_default = false WHERE organization_id = %s AND mode = %s AND is_default",
        (card.organization_id, card.mode),
    )
    await db.execute("UPDATE payment_cards SET is_default = true WHERE id = %s AND removed_at IS NULL", (card.id,))


async def ending_cards(db: Connection, mode: Mode, today: date, limit: int) -> list[Card]:
    """The saved cards that end within thirty days and have not ended yet. A card is good to the end of its month."""
    return await _read(
        db,
        """
        WHERE mode = %s AND removed_at IS NULL
          AND make_date(exp_year, exp_month, 1) + interval '1 month' > %s
          AND make_date(exp_year, exp_month, 1) + interval '1 month' - interval '30 days' <= %s
        ORDER BY id LIMIT %s
        """,
        mode,
        today,
        today,
        limit,
    )


async def add_setup(  # noqa: PLR0913, PLR0917 -- who wants it, and for how long
    db: Connection, organization_id: UUID, person_id: UUID, email: str, attempt: str, mode: Mode, life_s: int
) -> CardSetup:
    """The visit of this attempt: a new one, or the one that the same attempt began."""
    await db.execute(
        """
        INSERT INTO payment_card_setups (id, organization_id, person_id, email, attempt, mode, session_expires_at)
        VALUES (%s, %s, %s, %s, %s, %s, date_trunc('second', now()) + make_interval(secs => %s))
        ON CONFLICT ON CONSTRAINT payment_card_setups_attempt DO NOTHING
        """,
        (new_id(), organization_id, person_id, email, attempt, mode, life_s),
    )
    found = await _setups(db, "WHERE organization_id = %s AND attempt = %s", organization_id, attempt)
    return found[0]


async def find_setup(db: Connection, setup_id: UUID) -> CardSetup | None:
    """A visit of whichever organization."""
    return next(iter(await _setups(db, "WHERE id = %s", setup_id)), None)


async def unended_setups(db: Connection, organization_id: UUID) -> list[CardSetup]:
    """The visits that may still save a card."""
    return await _setups(db, "WHERE organization_id = %s AND state IN ('created', 'open')", organization_id)


async def open_setup(db: Connection, setup: CardSetup, session: Session) -> None:
    """It has its page now."""
    await db.execute(
        """
        UPDATE payment_card_setups SET state = 'open', session_id = %s, session_url = %s
         WHERE id = %s AND state = 'created'
        """,
        (session.id, session.url, setup.id),
    )


async def end_setup(db: Connection, setup_id: UUID, state: SetupState, card_id: UUID | None = None) -> None:
    """It has come to its end. A card that is found later still counts."""
    await db.execute(
        """
        UPDATE payment_card_setups SET state = %s, card_id = %s, due_at = NULL, lease_until = NULL
         WHERE id = %s AND state <> 'done'
        """,
        (state, card_id, setup_id),
    )


async def come_back(db: Connection, held: Claim, error: str) -> None:
    """Ask again after as long as it has waited so far, 2 to 30 minutes, for a day and a half."""
    await db.execute(
        """
        UPDATE payment_card_setups
           SET due_at = CASE
                   WHEN state IN ('created', 'open') AND created_at > now() - interval '36 hours'
                   THEN now() + least(greatest(now() - created_at, interval '2 minutes'), interval '30 minutes')
               END,
               lease_until = NULL,
               error = %s
         WHERE id = %s AND epoch = %s AND lease_until IS NOT NULL
        """,
        (error.replace("\x00", "")[:ERROR_CHARACTERS_MAX], held.row_id, held.epoch),
    )


async def forget_person(db: Connection, person_id: UUID) -> None:
    """Forget where notices about cards went, when somebody deletes their account."""
    await db.execute(
        """
        UPDATE payment_cards SET email = ''
         WHERE email IN (SELECT email FROM payment_card_setups WHERE person_id = %s AND card_id = payment_cards.id)
        """,
        (person_id,),
    )
    await db.execute("UPDATE payment_card_setups SET email = '' WHERE person_id = %s", (person_id,))


async def _read(db: Connection, where: str, *values: object) -> list[Card]:
    cursor = db.cursor(row_factory=class_row(Card))
    await cursor.execute(f"SELECT {_COLUMNS} FROM payment_cards {where}".encode(), values)
    return await cursor.fetchall()


async def _setups(db: Connection, where: str, *values: object) -> list[CardSetup]:
    cursor = db.cursor(row_factory=class_row(CardSetup))
    await cursor.execute(f"SELECT {_SETUP_COLUMNS} FROM payment_card_setups {where}".encode(), values)
    return await cursor.fetchall()
