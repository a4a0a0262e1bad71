"""What the rooms above identity keep about an organization, for the file that a person can download."""

from collections.abc import Mapping
from datetime import datetime

from pouch.agents.store import list_runs
from pouch.agents.wishes import NOT_OVER
from pouch.base.database import Connection
from pouch.base.ids import show_id
from pouch.base.languages import say
from pouch.identity.export import Exporter, Json
from pouch.identity.types import OrganizationId
from pouch.ledger.history import lines
from pouch.payments import disputes, refunds
from pouch.payments.card_rows import every_card
from pouch.payments.purchases import list_purchases, pending_total
from pouch.roo.export import export_tasks
from pouch.topups.attempts import newest, under_way
from pouch.topups.rules import find_rule
from pouch.usage.store import newest_calls

ROWS_MAX = 100_000
"""The most of any list; who has more is better served by the exports of the Billing and Usage pages."""
_PAGE = 1_000


async def payment_obstacle(db: Connection, organization_id: OrganizationId) -> str | None:
    """Money that is on its way here, or back to the card, would find an account that is gone."""
    if await pending_total(db, organization_id):
        return say("A payment is being confirmed. Wait until it is.")
    if any(refund.is_open for refund in await refunds.of_organization(db, organization_id)):
        return say("A refund is on its way to your card. Wait until it is there.")
    if await disputes.has_open(db, organization_id):
        return say("A payment is disputed. Wait until the bank has decided.")
    rule = await find_rule(db, organization_id)
    if rule is not None and rule.is_on:
        return say("Auto top-up is on. Switch it off first.")
    if await under_way(db, organization_id) is not None:
        return say("An auto top-up is under way. Wait until it is done.")
    return None


async def agents_obstacle(db: Connection, organization_id: OrganizationId) -> str | None:
    """A run under way would go on for nobody."""
    if await list_runs(db, organization_id, states=NOT_OVER, limit=1):
        return "Agents of yours are under way or wait for you. Stop them first."
    return None


async def _agent_runs(db: Connection, organization_id: OrganizationId) -> Json:
    return [
        {
            "id": run.shown_id,
            "number": run.number,
            "state": run.state,
            "agent": run.kind,
            "task": run.task,
            "repository": run.repository,
            "model": run.model_id,
            "started_at": run.created_at.isoformat(),
            "ended_at": _time(run.ended_at),
            "ran_s": run.ran_s,
            "time_usd": run.time_cost.decimal(),
        }
        for run in await list_runs(db, organization_id, limit=ROWS_MAX)
    ]


async def _purchases(db: Connection, organization_id: OrganizationId) -> Json:
    return [
        {
            "id": purchase.shown_id,
            "number": purchase.number,
            "state": purchase.state,
            "amount_usd": purchase.amount.decimal(),
            "email": purchase.email,
            "card": purchase.card,
            "started_at": purchase.created_at.isoformat(),
            "credited_at": _time(purchase.credited_at),
        }
        for purchase in await list_purchases(db, organization_id, ROWS_MAX)
    ]


async def _refunds(db: Connection, organization_id: OrganizationId) -> Json:
    return [
        {
            "id": refund.shown_id,
            "purchase": show_id("pur", refund.purchase_id),
            "state": refund.state,
            "amount_usd": refund.credits.decimal(),
            "fee_usd": refund.fee.decimal(),
            "tax_usd": refund.tax.decimal(),
            "note": refund.note,
            "asked_at": refund.created_at.isoformat(),
            "closed_at": _time(refund.closed_at),
        }
        for refund in await refunds.of_organization(db, organization_id, ROWS_MAX)
    ]


async def _cards(db: Connection, organization_id: OrganizationId) -> Json:
    return [
        {
            "brand": card.brand,
            "last4": card.last4,
            "good_until": card.ends,
            "saved_at": card.added_at.isoformat(),
            "removed_at": _time(card.removed_at),
        }
        for card in await every_card(db, organization_id)
    ]


async def _top_ups(db: Connection, organization_id: OrganizationId) -> Json:
    return [
        {
            "state": attempt.state,
            "amount_usd": attempt.amount.decimal(),
            "charged_usd": attempt.charged.decimal(),
            "card": attempt.card_name,
            "reason": attempt.reason,
            "tried_at": attempt.created_at.isoformat(),
        }
        for attempt in await newest(db, organization_id, ROWS_MAX)
    ]


async def _ledger(db: Connection, organization_id: OrganizationId) -> Json:
    found: list[Json] = []
    before = None
    while len(found) < ROWS_MAX:
        page = await lines(db, organization_id, before=before, limit=_PAGE)
        found += [
            {
                "at": line.at.isoformat(),
                "kind": line.kind,
                "amount_usd": line.amount.decimal(),
                "balance_after_usd": line.balance_after.decimal(),
                "note": line.note,
            }
            for line in page
        ]
        if len(page) < _PAGE:
            break
        before = page[-1].seq
    return found


async def _usage(db: Connection, organization_id: OrganizationId) -> Json:
    found: list[Json] = []
    before = None
    # In pieces: between them this process answers its other callers.
    while len(found) < ROWS_MAX:
        page = await newest_calls(db, organization_id, limit=_PAGE, before=before)
        found += [
            {
                "id": show_id("gen", call.id),
                "model": call.model_id,
                "key": show_id("key", call.key_id),
                "started_at": call.started_at.isoformat(),
                "finished_at": call.finished_at.isoformat(),
                "tokens_in": call.counts.input_total,
                "tokens_out": call.counts.output_total,
                "charged_usd": call.charged.decimal(),
                "outcome": call.outcome,
            }
            for call in page
        ]
        if len(page) < _PAGE:
            break
        before = page[-1].id
    return found


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


EXPORTERS: Mapping[str, Exporter] = {
    "purchases": _purchases,
    "refunds": _refunds,
    "cards": _cards,
    "top_ups": _top_ups,
    "ledger": _ledger,
    "usage": _usage,
    "agent_runs": _agent_runs,
    "tasks": export_tasks,
}
