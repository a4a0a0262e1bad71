"""What the Billing page shows of an organization: its money, its purchases and every change of its balance."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.ids import show_id
from pouch.base.languages import say
from pouch.base.money import Money
from pouch.billing.lines import Charge, Wanted, list_lines, sum_lines
from pouch.billing.words import LINE_KINDS, call_words
from pouch.identity.keys import key_names
from pouch.ledger import accounts
from pouch.ledger.history import Line
from pouch.ledger.lots import Lot, lots_of
from pouch.ledger.tally import Tallies, Tally
from pouch.payments import purchases
from pouch.payments.types import Purchase
from pouch.usage.store import models_used

LINES_PER_PAGE = 20
PURCHASES_PER_PAGE = 10
LOTS_SHOWN, LOTS_MAX = 5, 100
"""At first, and when all are asked for."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A ledger line in words, with a link to what caused it."""

    line: Line
    what: str
    why: str
    href: str


@dataclass(frozen=True, slots=True)
class Account:
    """An organization's money. `older` and `older_purchases` are where the next pages begin, if there are some."""

    balance: accounts.Balance
    pending: Money
    tally: Tally
    purchases: list[Purchase]
    older_purchases: UUID | None
    rows: list[LedgerRow]
    lots: list[Lot]
    """What is left of which credits, in the order in which they are spent."""
    older: int | None
    chosen: tuple[int, Money] | None
    """How many lines were chosen and what they add up to; None when all are shown, or too many."""
    models: list[str]
    keys: dict[UUID, str]
    """What can be chosen."""


async def load_account(  # noqa: PLR0913 -- which part of which account, by name
    db: Connection,
    organization_id: UUID,
    *,
    tallies: Tallies,
    now: datetime,
    before: int | None,
    wanted: Wanted,
    purchases_before: UUID | None = None,
) -> Account:
    """Read everything for the Billing page. `before` is the `older` of the page of lines before this one.

    `purchases_before` is the same for the purchases: its `older_purchases`.
    """
    charges = await list_lines(db, organization_id, wanted, before=before, limit=LINES_PER_PAGE + 1)
    shown = charges[:LINES_PER_PAGE]
    bought = await purchases.list_purchases(db, organization_id, PURCHASES_PER_PAGE + 1, before=purchases_before)
    keys = await key_names(db, organization_id)
    return Account(
        balance=await accounts.balance(db, organization_id),
        pending=await purchases.pending_total(db, organization_id),
        tally=await tallies.of(db, organization_id, now=now),
        purchases=bought[:PURCHASES_PER_PAGE],
        older_purchases=bought[PURCHASES_PER_PAGE - 1].id if len(bought) > PURCHASES_PER_PAGE else None,
        rows=[row_of(charge, keys) for charge in shown],
        lots=await lots_of(db, organization_id),
        older=shown[-1].line.seq if len(charges) > len(shown) else None,
        chosen=None if wanted.is_everything else await sum_lines(db, organization_id, wanted),
        models=await models_used(db, organization_id),
        keys=keys,
    )


def row_of(charge: Charge, keys: Mapping[UUID, str]) -> LedgerRow:
    """Put a line into words."""
    line, call = charge.line, charge.call
    if call is not None:
        why = " · ".join(part for part in (call_words(call), keys.get(call.key_id)) if part)
        return LedgerRow(line, call.model_id, why, f"/usage/{show_id('gen', call.id)}")
    what = say(LINE_KINDS[line.kind])
    if line.kind == "purchase" and line.cause is not None:
        return LedgerRow(line, what, line.note, f"/billing/purchases/{show_id('pur', line.cause)}")
    if line.kind == "agents" and line.cause is not None:
        return LedgerRow(line, what, line.note, f"/agents/{show_id('run', line.cause)}?tab=cost")
    return LedgerRow(line, what, line.note, f"/billing/ledger/{show_id('line', line.id)}")
