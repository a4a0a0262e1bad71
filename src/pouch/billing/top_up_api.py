"""The auto top-up and the saved cards for programs: the same rule as on the pages, by the same functions."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.base.database import Database
from pouch.base.errors import InvalidInput, NotAllowed
from pouch.base.ids import read_id
from pouch.base.money import Dollars, Money
from pouch.billing.callers import BillingCaller, Callers
from pouch.billing.once import Answer, Once
from pouch.billing.purchase_api import json_answer, read_limit
from pouch.billing.recent import Recent
from pouch.identity.errors import VerificationNeeded
from pouch.payments.types import Card
from pouch.topups import attempts
from pouch.topups.room import TopUps
from pouch.topups.switching import Overview
from pouch.topups.types import Attempt, Wish
from pouch.web.bodies import Body, read_json
from pouch.web.viewer import Viewer

Shape = dict[str, object]


class ConfirmPassword(NotAllowed):
    """A browser's session may do this only shortly after the password was given."""

    code = "confirm_password"

    def __init__(self) -> None:
        super().__init__("Give your password again first: /confirm-password")


class NewRule(Body):
    """What is to be bought by itself. Exactly one of `amount_usd` and `target_usd`."""

    threshold_usd: Dollars
    amount_usd: Dollars | None = None
    target_usd: Dollars | None = None
    monthly_cap_usd: Dollars
    daily_max: int = 3


class TopUpApi:
    """/api/v1/billing/auto-topup, its attempts, and /api/v1/billing/payment-methods."""

    def __init__(self, database: Database, callers: Callers, once: Once, topups: TopUps, recent: Recent) -> None:
        self._database = database
        self._callers = callers
        self._once = once
        self._topups = topups
        self._recent = recent

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/api/v1/billing/auto-topup", self.show, methods=["GET"]),
            Route("/api/v1/billing/auto-topup", self.save, methods=["PUT"]),
            Route("/api/v1/billing/auto-topup", self.save_once, methods=["POST"]),
            Route("/api/v1/billing/auto-topup", self.switch_off, methods=["DELETE"]),
            Route("/api/v1/billing/auto-topup/attempts", self.attempts, methods=["GET"]),
            Route("/api/v1/billing/payment-methods", self.cards, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """The rule, and what it would charge now."""
        caller = await self._callers.reader(request)
        return json_answer(await self._shape(caller.organization_id))

    async def save(self, request: Request) -> Response:
        """Switch it on or change it. Repeating it changes nothing."""
        caller = await self._writer(request)
        return json_answer(await self._save(caller, await read_json(request, NewRule)))

    async def save_once(self, request: Request) -> Response:
        """The same with an Idempotency-Key."""
        caller = await self._writer(request)
        wanted = await read_json(request, NewRule)

        async def act(_request_id: UUID) -> Answer:
            return Answer(await self._save(caller, wanted))

        return await self._once.across_the_network(request, caller.organization_id, act)

    async def switch_off(self, request: Request) -> Response:
        """Charge no card by itself any more. Repeating it changes nothing."""
        caller = await self._callers.writer(request)
        await self._topups.switch.switch_off(caller.organization_id)
        return json_answer(await self._shape(caller.organization_id))

    async def attempts(self, request: Request) -> Response:
        """The newest first; `before` is the id of the last one of the page before."""
        caller = await self._callers.reader(request)
        limit, before = read_limit(request), _before(request)
        async with self._database.transaction() as db:
            found = await attempts.newest(db, caller.organization_id, limit + 1, before)
        return json_answer({"data": [_attempt(each) for each in found[:limit]], "has_more": len(found) > limit})

    async def cards(self, request: Request) -> Response:
        """The saved cards, the default one first."""
        caller = await self._callers.reader(request)
        async with self._database.transaction() as db:
            found = await self._topups.sync.cards.all(db, caller.organization_id)
        return json_answer({"data": [_card(card) for card in found]})

    async def _writer(self, request: Request) -> BillingCaller:
        caller = await self._callers.writer(request)
        if not caller.is_verified:
            raise VerificationNeeded
        if caller.session_id is not None:
            viewer: Viewer | None = request.state.viewer
            if viewer is None or not await self._recent(viewer):
                raise ConfirmPassword
        return caller

    async def _save(self, caller: BillingCaller, wanted: NewRule) -> Shape:
        if (wanted.amount_usd is None) == (wanted.target_usd is None):
            raise InvalidInput("Give amount_usd or target_usd, and not both.", field="amount_usd")
        wish = Wish(
            wanted.threshold_usd, wanted.amount_usd, wanted.target_usd, wanted.monthly_cap_usd, wanted.daily_max
        )
        await self._topups.switch.save(caller.organization_id, wish, person_id=caller.person_id, email=caller.email)
        return await self._shape(caller.organization_id)

    async def _shape(self, organization_id: UUID) -> Shape:
        async with self._database.transaction() as db:
            overview = await self._topups.switch.overview(db, organization_id)
        return _rule(overview)


def _rule(overview: Overview) -> Shape:
    rule = overview.rule
    wish = rule.wish if rule else None
    charge = overview.charge_now(wish) if wish else None
    return {
        "state": overview.state,
        "pause": (rule.pause or None) if rule else None,
        "reason": overview.suspended or (rule.reason if rule else "") or None,
        "threshold_usd": _usd(wish.threshold if wish else None),
        "amount_usd": _usd(wish.amount if wish else None),
        "target_usd": _usd(wish.target if wish else None),
        "monthly_cap_usd": _usd(wish.cap if wish else None),
        "daily_max": wish.daily_max if wish else None,
        "used_this_month_usd": overview.standing.used_in_month.decimal(),
        "tried_today": overview.standing.tried_today,
        "would_charge_now_usd": _usd(charge),
        "not_before": rule.wait_until.isoformat() if rule and rule.wait_until else None,
        "payment_method": _card(overview.card) if overview.card else None,
        "under_way": _attempt(overview.under_way) if overview.under_way else None,
    }


def _attempt(attempt: Attempt) -> Shape:
    return {
        "id": attempt.shown_id,
        "state": attempt.state,
        "amount_usd": attempt.amount.decimal(),
        "fee_usd": attempt.fee.decimal(),
        "tax_usd": attempt.tax.decimal(),
        "total_usd": attempt.charged.decimal(),
        "balance_usd": attempt.balance.decimal(),
        "payment_method": attempt.card_name or None,
        "code": attempt.code or None,
        "reason": attempt.reason or None,
        "created_at": attempt.created_at.isoformat(),
        "ended_at": attempt.ended_at.isoformat() if attempt.ended_at else None,
    }


def _card(card: Card) -> Shape:
    return {
        "id": card.shown_id,
        "brand": card.brand,
        "last4": card.last4,
        "exp_month": card.exp_month,
        "exp_year": card.exp_year,
        "is_default": card.is_default,
        "added_at": card.added_at.isoformat(),
    }


def _usd(amount: Money | None) -> str | None:
    return amount.decimal() if amount is not None else None


def _before(request: Request) -> UUID | None:
    text = request.query_params.get("before")
    if text is None:
        return None
    attempt_id = read_id("top", text)
    if attempt_id is None:
        raise InvalidInput("This is not the id of an attempt.", field="before")
    return attempt_id
