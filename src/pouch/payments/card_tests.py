"""Keeping card thieves from trying numbers here: three refused cards in an hour, and the payment pages close.

A page that only saves a card counts like one that takes a payment. They count for the organization, and for the network
that the purchase was begun from when it is a public one. The words
say nothing of cards or limits, so that nobody learns where the line is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.errors import TooManyRequests
from pouch.base.languages import say

REFUSED_MAX = 3
WINDOW_S = 3600


@dataclass(frozen=True, slots=True)
class TriedCard:
    """A try to charge a card, as the processor tells it."""

    id: str
    status: str = ""
    created: int = 0


async def check(db: Connection, organization_id: UUID, network: str) -> None:
    """Let a purchase or the saving of a card begin, unless cards were refused too often lately.

    Raises TooManyRequests.
    """
    if await _count(db, organization_id, network) >= REFUSED_MAX:
        raise TooManyRequests(say("This payment cannot be started right now. Try again later."), retry_after_s=WINDOW_S)


async def note_network(db: Connection, begun_id: UUID, network: str) -> None:
    """Remember where a purchase, or the saving of a card, was begun.

    A network that is not public is a proxy of ours, or this machine.
    """
    await db.execute(
        "DELETE FROM payment_networks WHERE noted_at < now() - make_interval(secs => %s)", (WINDOW_S * 24,)
    )
    if _is_public(network):
        await db.execute(
            "INSERT INTO payment_networks (purchase_id, network) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (begun_id, network),
        )


async def note_refused(db: Connection, organization_id: UUID, begun_id: UUID, tried: Sequence[TriedCard]) -> bool:
    """Write down which cards were refused on a page. True when that is too much, and the page should close."""
    for each in tried:
        if each.status == "failed":
            await db.execute(
                """
                INSERT INTO payment_refused_cards (charge_id, organization_id, purchase_id, refused_at)
                VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING
                """,
                (each.id, organization_id, begun_id, datetime.fromtimestamp(each.created, UTC)),
            )
    rows = await db.execute("SELECT network FROM payment_networks WHERE purchase_id = %s", (begun_id,))
    row = await rows.fetchone()
    return await _count(db, organization_id, row[0] if row else "") >= REFUSED_MAX


async def _count(db: Connection, organization_id: UUID, network: str) -> int:
    rows = await db.execute(
        """
        SELECT greatest(
            (SELECT count(*) FROM payment_refused_cards
              WHERE organization_id = %(organization)s AND refused_at > now() - make_interval(secs => %(window)s)),
            (SELECT count(*) FROM payment_refused_cards AS c JOIN payment_networks AS n USING (purchase_id)
              WHERE n.network = %(network)s AND c.refused_at > now() - make_interval(secs => %(window)s)))
        """,
        {"organization": organization_id, "network": network, "window": WINDOW_S},
    )
    row = await rows.fetchone()
    assert row is not None
    return int(row[0])


def _is_public(network: str) -> bool:
    try:
        return ip_network(network, strict=False).is_global
    except ValueError:
        return False
