"""What is mailed about the auto top-up: every charge, every stop, every change. One letter for each cause."""

from collections.abc import Mapping
from datetime import datetime

from pouch.base.database import Connection
from pouch.base.ids import show_id
from pouch.base.money import Money
from pouch.identity.organizations import owner_emails
from pouch.mail import outbox
from pouch.topups.types import Attempt, Rule, Wish
from pouch.web.filters import dollars, when


def wish_words(wish: Wish) -> str:
    """The rule in one sentence."""
    does = (
        f"buy {dollars(wish.amount)}" if wish.amount is not None else f"fill up to {dollars(wish.target or wish.cap)}"
    )
    return (
        f"Below {dollars(wish.threshold)}, {does}; at most {dollars(wish.cap)} a month and {wish.daily_max} "
        f"{'time' if wish.daily_max == 1 else 'times'} a day."
    )


async def tell_changed(db: Connection, rule: Rule, what: str, card: str) -> None:
    """The rule was switched on, changed or switched off, by a person or by us: those who own the money are told."""
    context = {"what": what, "rule": wish_words(rule.wish), "card": card, "reason": rule.reason}
    for to in await owners_and(db, rule):
        key = f"top-up-changed:{rule.organization_id}:{rule.version}:{to}"
        await outbox.write(db, outbox.Letter(key=key, to=to, kind="top_up_changed", context=context))


async def tell_declined(db: Connection, rule: Rule, attempt: Attempt, *, why: str, follows: str) -> None:
    """The bank said no."""
    context = {"amount": dollars(attempt.charged), "card": attempt.card_name, "why": why, "follows": follows}
    await _write(db, rule, f"top-up-declined:{attempt.id}", "top_up_declined", context)


async def tell_to_confirm(db: Connection, rule: Rule, attempt: Attempt, hours: int) -> None:
    """The bank wants to hear it from its customer. The link is added when the letter is sent."""
    context = {
        "amount": dollars(attempt.charged),
        "card": attempt.card_name,
        "hours": str(hours),
        "confirm": show_id("top", attempt.id),
    }
    await _write(db, rule, f"top-up-confirm:{attempt.id}", "top_up_confirm", context)


async def tell_blocked(db: Connection, rule: Rule, *, why: str, window: str, until: datetime) -> None:
    """A limit is reached; once for each window."""
    context = {"why": why, "until": f"{when(until)} UTC", "rule": wish_words(rule.wish)}
    await _write(db, rule, f"top-up-blocked:{rule.organization_id}:{window}", "top_up_blocked", context)


async def tell_burst(db: Connection, rule: Rule, *, charges: int, total: Money, window: str) -> None:
    """Many charges in a short time: the owners look whether that is wanted."""
    context = {"charges": str(charges), "total": dollars(total), "rule": wish_words(rule.wish)}
    for to in await owners_and(db, rule):
        key = f"top-up-burst:{rule.organization_id}:{window}:{to}"
        await outbox.write(db, outbox.Letter(key=key, to=to, kind="top_up_burst", context=context))


async def owners_and(db: Connection, rule: Rule) -> list[str]:
    """The addresses of the organization's owners, and of whoever switched the rule on."""
    return sorted({rule.email, *await owner_emails(db, rule.organization_id)} - {""})


async def _write(db: Connection, rule: Rule, key: str, kind: str, context: Mapping[str, str]) -> None:
    # Empty when whoever switched it on has deleted their account.
    if rule.email:
        await outbox.write(db, outbox.Letter(key=key, to=rule.email, kind=kind, context=context))
