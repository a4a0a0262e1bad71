"""What operators order: a grant, a batch of vouchers, a refund. Kept in a request as it is, and carried out once."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Literal, TypeAlias
from uuid import UUID

from pydantic import TypeAdapter

from pouch.base.database import Connection
from pouch.base.errors import Conflict, InvalidInput
from pouch.base.ids import derived_id, show_id
from pouch.base.languages import say
from pouch.base.money import Money
from pouch.ledger.grants import grant
from pouch.ledger.lots import GrantKind
from pouch.oversight import acts, requests
from pouch.oversight.types import Act, ActKind, Ask, Operator, Request, RequestKind
from pouch.payments import refunding
from pouch.payments.checkout import ATTEMPT
from pouch.payments.refunding import Refunding
from pouch.payments.refunds import RefundReason
from pouch.vouchers import batches
from pouch.vouchers.types import Voucher, Wish
from pouch.web.filters import dollars

Codes: TypeAlias = list[tuple[Voucher, str]]


@dataclass(frozen=True, slots=True)
class GrantOrder:
    """Credits for an organization. What is left of them goes at the end of the day `last_day`, UTC."""

    organization_id: UUID
    to: str
    """Whose it is, in the operator's words."""
    amount_nanos: int
    note: str
    kind: GrantKind
    last_day: date | None

    @property
    def amount(self) -> Money:
        """What it gives away."""
        return Money(self.amount_nanos)

    @property
    def summary(self) -> str:
        """The same in a line."""
        until = f", until {self.last_day}" if self.last_day else ""
        return f"Grant of {dollars(self.amount)} ({self.kind}) to {self.to}{until}: {self.note}"

    @property
    def expires_at(self) -> datetime | None:
        """The moment after its last day."""
        return datetime.combine(self.last_day, time.max, UTC) if self.last_day else None


@dataclass(frozen=True, slots=True)
class VoucherOrder:
    """So many vouchers of one kind. Their codes are good through the day `last_day`, UTC."""

    amount_nanos: int
    size: int
    uses_max: int
    per_person_max: int
    note: str
    last_day: date | None
    credits_days: int | None
    own_code: str | None = None

    @property
    def wish(self) -> Wish:
        """What each of them is."""
        ends = datetime.combine(self.last_day, time.max, UTC) if self.last_day else None
        return Wish(
            Money(self.amount_nanos),
            self.note,
            self.uses_max,
            self.per_person_max,
            valid_until=ends,
            credits_days=self.credits_days,
        )

    @property
    def amount(self) -> Money:
        """What they give away if each use is made."""
        return batches.worth(self.wish, self.size)

    @property
    def summary(self) -> str:
        """The same in a line."""
        uses = f", each for {self.uses_max:,} uses" if self.uses_max > 1 else ""
        until = f", until {self.last_day}" if self.last_day else ""
        return f"{self.size:,} vouchers of {dollars(self.wish.amount)}{uses}{until}: {self.note}"


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """So much of a purchase back to its card. `total_nanos` is what goes there, with fee and tax as the page said."""

    purchase_id: UUID
    of: str
    """Whose purchase, in words."""
    amount_nanos: int
    total_nanos: int
    reason: RefundReason
    note: str

    @property
    def amount(self) -> Money:
        """What goes to the card."""
        return Money(self.total_nanos)

    @property
    def summary(self) -> str:
        """The same in a line."""
        why = f": {self.note}" if self.note else ""
        return f"Refund of {dollars(self.amount)} to the card of {self.of}, {show_id('pur', self.purchase_id)}{why}"


Order: TypeAlias = GrantOrder | VoucherOrder | RefundOrder
_SHAPES: dict[RequestKind, TypeAdapter[Order]] = {
    "grant": TypeAdapter(GrantOrder),
    "vouchers": TypeAdapter(VoucherOrder),
    "refund": TypeAdapter(RefundOrder),
}


def kind_of(order: Order) -> RequestKind:
    """What the log and requests call it."""
    match order:
        case GrantOrder():
            return "grant"
        case VoucherOrder():
            return "vouchers"
        case RefundOrder():
            return "refund"


def order_of(request: Request) -> Order:
    """What a request is for, exactly as it was asked."""
    return _SHAPES[request.kind].validate_python(dict(request.wish))


class Orders:
    """Carries orders out, or asks another operator first."""

    def __init__(self, refunding: Refunding, *, alone: Money | None) -> None:
        self._refunding = refunding
        self.alone = alone
        """What one operator may move within 24 hours. None: any amount."""

    async def place(self, db: Connection, who: Operator, attempt: str, order: Order) -> Request | Codes:
        """Do it in the caller's transaction, or ask for it: the request then, else the codes that were made, if any.

        The same attempt does it once. Raises InvalidInput and Conflict.
        """
        if not ATTEMPT.fullmatch(attempt):
            raise InvalidInput(say("The form was not complete. Open the page again."), field="attempt")
        key = key_of(who, attempt)
        if await acts.may_alone(db, who, order.amount, self.alone, key=key):
            return await self.carry_out(db, who, key, order)
        kind = kind_of(order)
        wish = _SHAPES[kind].dump_python(order, mode="json")
        request = await requests.ask(db, who, Ask(attempt, kind, order.amount, order.summary, wish))
        path = f"/admin/approvals/{request.shown_id}"
        await acts.note(db, who, Act(f"{request.id}:asked", "asked", order.summary, path=path))
        return request

    async def allow(self, db: Connection, who: Operator, request_id: UUID) -> Request:
        """Allow what another operator asked for, and do it. Vouchers are left for them to make, once. Raises NotNow."""
        asked = await requests.get(db, request_id)
        into: Literal["allowed", "done"] = "allowed" if asked.kind == "vouchers" else "done"
        request = await requests.allow(db, request_id, who, into=into)
        path = f"/admin/approvals/{request.shown_id}"
        await acts.note(db, who, Act(f"{request.id}:allowed", "allowed", request.summary, path=path))
        if into == "done":
            asker = Operator(request.asked_by, request.asked_email)
            await self.carry_out(db, asker, f"request:{request.id}", order_of(request), request.id)
        return request

    async def use(self, db: Connection, who: Operator, request_id: UUID) -> Codes:
        """Make the vouchers that were allowed, as who asked for them: their codes. Once. Raises NotNow."""
        request = await requests.use(db, request_id, who)
        return await self.carry_out(db, who, f"request:{request.id}", order_of(request), request.id)

    async def refuse(self, db: Connection, who: Operator, request_id: UUID) -> Request:
        """Say no, or take one's own request back. Raises NotNow."""
        request = await requests.refuse(db, request_id, who)
        kind: ActKind = "withdrawn" if request.state == "withdrawn" else "refused"
        path = f"/admin/approvals/{request.shown_id}"
        await acts.note(db, who, Act(f"{request.id}:{kind}", kind, request.summary, path=path))
        return request

    async def finish_refund(self, order: RefundOrder, who: UUID, attempt: str) -> None:
        """After the commit: take a refund to the card processor at once. Without this a worker does it."""
        await self._refunding.start(order.purchase_id, _ask_of(order, who, attempt))

    async def carry_out(
        self, db: Connection, who: Operator, key: str, order: Order, request_id: UUID | None = None
    ) -> Codes:
        """Do it, and write it down, once for a key."""
        codes: Codes = []
        match order:
            case GrantOrder():
                await self._give(db, key, order)
                path = "/admin/grants"
            case VoucherOrder():
                codes = await self._make(db, who, key, order)
                path = f"/admin/vouchers/{codes[0][0].shown_id}"
            case RefundOrder():
                await self._refunding.begin(db, order.purchase_id, _ask_of(order, who.person_id, key))
                path = f"/admin/purchases/{show_id('pur', order.purchase_id)}"
        kind = kind_of(order)
        await acts.note(db, who, Act(key, kind, order.summary, order.amount, request_id, path))
        return codes

    async def _give(self, db: Connection, key: str, order: GrantOrder) -> None:
        await grant(
            db,
            order.organization_id,
            order.amount,
            key=key,
            note=order.note,
            kind=order.kind,
            expires_at=order.expires_at,
        )

    async def _make(self, db: Connection, who: Operator, key: str, order: VoucherOrder) -> Codes:
        made = await batches.make_batch(
            db, key, order.wish, order.size, made_by=who.email, own_code=order.own_code or None
        )
        if made is None:
            raise Conflict(
                say("These vouchers were made before, and their codes were shown then. If they are lost, cancel them.")
            )
        return made


def key_of(who: Operator, attempt: str) -> str:
    """The key of what an operator orders with a form."""
    return f"desk:{derived_id(f'{who.person_id}:{attempt}')}"


def _ask_of(order: RefundOrder, person_id: UUID, attempt: str) -> refunding.Ask:
    return refunding.Ask(
        "operator",
        person_id,
        Money(order.amount_nanos),
        attempt,
        reason=order.reason,
        note=order.note,
        shown=Money(order.total_nanos),
    )
