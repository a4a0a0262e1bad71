"""What an auto top-up may still buy this month, for the forecast."""

from uuid import UUID

from pouch.base.database import Connection
from pouch.base.money import NANOS_PER_CENT, ZERO, Money
from pouch.billing.forecast import Cap, FindCap
from pouch.topups.switching import Switch


def cap_of(switch: Switch) -> FindCap:
    """Ask the rule of auto top-up; a rule that is not armed buys nothing."""

    async def find(db: Connection, organization_id: UUID) -> Cap | None:
        seen = await switch.overview(db, organization_id)
        if seen.rule is None or seen.state != "armed":
            return None
        wish = seen.rule.wish
        left = wish.cap - seen.standing.used_in_month
        credits_ = seen.limits.affordable(left, Money(NANOS_PER_CENT), wish.cap)
        return Cap(left=credits_ if left > ZERO else left, threshold=wish.threshold)

    return find
