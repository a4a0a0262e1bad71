"""Saved cards: adding one without paying, keeping what the processor says of it, the default, and removing one.

A card is kept when its owner agreed to have it charged later: by the box that they ticked before they paid, or on the
page whose only purpose is to save it. What changes at the processor (a renewed card, one that was taken off) changes
here, whoever says so.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID

import structlog

from pouch.base.clock import system_clock
from pouch.base.database import Connection, Database
from pouch.base.ids import read_id
from pouch.jobs import claims
from pouch.mail import outbox
from pouch.payments import card_rows, card_tests, closings, customers
from pouch.payments.card_rows import CardSetup
from pouch.payments.card_tests import TriedCard
from pouch.payments.checkout import SESSION_LEFT_S_MIN, SESSION_LIFE_S, START_TIMEOUT_S, Checkout
from pouch.payments.errors import NoProcessor, NoSuchObject, ProcessorRefused, ProcessorSilent
from pouch.payments.hooks import Automatic
from pouch.payments.processor import Processor
from pouch.payments.types import Card, Method, Mode, Session

JOB = "payments.card_setup"
LEASE_S = 60.0
VISIT_TIMEOUT_S = 5.0
NOTICE_DAYS = (30, 7)
"""So many days before a card ends its owner is told."""
_NOTICES_MAX = 500
_DETACHED_MAX = 50
"""So many removed cards are taken off their customers in one go."""

_log = structlog.get_logger("pouch.payments")


class Cards:
    """Every word with the processor about saved cards."""

    def __init__(
        self, database: Database, processor: Processor | None, checkout: Checkout, automatic: Automatic
    ) -> None:
        self._database = database
        self._processor = processor
        self._checkout = checkout
        self._automatic = automatic

    @property
    def mode(self) -> Mode | None:
        """Whose cards count now. None when no cards are taken."""
        return self._processor.mode if self._processor is not None else None

    async def all(self, db: Connection, organization_id: UUID) -> list[Card]:
        """The saved cards of an organization, the default one first."""
        return await card_rows.list_cards(db, organization_id, self.mode) if self.mode else []

    async def default(self, db: Connection, organization_id: UUID) -> Card | None:
        """The card that the auto top-up charges."""
        return await card_rows.default_card(db, organization_id, self.mode) if self.mode else None

    async def start(
        self, *, organization_id: UUID, person_id: UUID, email: str, attempt: str, network: str = ""
    ) -> CardSetup:
        """Begin to add a card; send its owner to `url_of`. The same attempt is the same visit.

        Raises NoProcessor, ProcessorRefused, ProcessorSilent, and TooManyRequests where cards were refused lately. No
        answer is no failure: it is tried again.
        """
        if self._processor is None:
            raise NoProcessor
        async with self._database.transaction() as db:
            await card_tests.check(db, organization_id, network)
            setup = await card_rows.add_setup(
                db,
                organization_id,
                person_id,
                outbox.address(email),
                attempt,
                self._processor.mode,
                SESSION_LIFE_S,
            )
            await card_tests.note_network(db, setup.id, network)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                return await self._open(self._processor, setup)
        except TimeoutError as error:
            raise ProcessorSilent("It took too long.") from error

    def url_of(self, setup: CardSetup) -> str:
        """Where the owner of the card goes next."""
        return setup.session_url if setup.state == "open" and setup.session_url else self.page_of(setup)

    def page_of(self, setup: CardSetup) -> str:
        """Our page about it."""
        return f"{self._checkout.site_url}/billing/cards/added/{setup.shown_id}"

    async def visit(self, organization_id: UUID, setup_id: UUID) -> CardSetup | None:
        """What its page shows, after asking the processor; without an answer, what is known. None: not theirs."""
        async with self._database.transaction() as db:
            setup = await card_rows.find_setup(db, setup_id)
        if setup is None or setup.organization_id != organization_id:
            return None
        try:
            async with asyncio.timeout(VISIT_TIMEOUT_S):
                await self.look(setup)
        except (ProcessorSilent, ProcessorRefused) as error:
            _log.warning("card_setup_not_refreshed", setup=setup.shown_id, reason=error.reason)
        except TimeoutError:
            _log.warning("card_setup_not_refreshed", setup=setup.shown_id, reason="It took too long.")
        async with self._database.transaction() as db:
            return await card_rows.find_setup(db, setup_id)

    async def look(self, setup: CardSetup) -> None:
        """Ask the processor what became of a visit. Raises ProcessorSilent and ProcessorRefused."""
        if self._processor is None or setup.state == "done" or setup.mode != self._processor.mode:
            return
        setup = await self._open(self._processor, setup)
        if setup.session_id is not None:
            await self.sync_session(await self._processor.find_session(setup.session_id))

    async def look_after(self, setup_id: UUID) -> None:
        """The job: ask about a visit that no event has brought to its end."""
        async with self._database.transaction() as db:
            claim = await claims.claim(db, card_rows.SETUPS, setup_id, LEASE_S)
            setup = await card_rows.find_setup(db, setup_id)
        if claim is None or setup is None:
            return
        error = ""
        try:
            await self.look(setup)
        except (ProcessorSilent, ProcessorRefused) as failure:
            error = failure.reason
        async with self._database.transaction() as db:
            await card_rows.come_back(db, claim, error)

    async def make_default(self, organization_id: UUID, card_id: UUID) -> Card:
        """Charge this card from now on. Raises NoSuchCard."""
        async with self._database.transaction() as db:
            await card_rows.lock_cards(db, organization_id)
            card = await card_rows.get_card(db, organization_id, card_id)
            if not card.is_default:
                await card_rows.set_default(db, card)
                await self._automatic.cards_changed(db, organization_id, card.mode)
                await _tell(db, card, "card_default", f"card-default:{card.id}:{system_clock().isoformat()}")
        return card

    async def remove(self, organization_id: UUID, card_id: UUID) -> Card:
        """Charge it no more, from the commit on; then the processor forgets it, too. Raises NoSuchCard."""
        async with self._database.transaction() as db:
            await card_rows.lock_cards(db, organization_id)
            card = await card_rows.get_card(db, organization_id, card_id)
            await self._remove(db, card)
        await self._detach_now([card])
        return card

    async def sync_session(self, session: Session) -> bool:
        """Follow a page on which a card is saved. False when it is none of ours."""
        setup_id = read_id("set", session.client_reference_id or "")
        async with self._database.transaction() as db:
            setup = await card_rows.find_setup(db, setup_id) if setup_id else None
        if setup is None or setup.mode != self.mode:
            return False
        saved = session.setup
        if saved is not None and saved.status == "succeeded" and saved.payment_method is not None:
            await self.sync_method(saved.payment_method, email=setup.email, setup=setup)
        elif session.status == "expired":
            async with self._database.transaction() as db:
                await card_rows.end_setup(db, setup.id, "expired")
        return True

    async def sync_setup_intent(self, setup_intent_id: str) -> bool:
        """Follow a card being saved. False when it is none of ours."""
        assert self._processor is not None
        found = await self._processor.find_setup(setup_intent_id)
        setup_id = read_id("set", found.metadata.get("setup", ""))
        async with self._database.transaction() as db:
            setup = await card_rows.find_setup(db, setup_id) if setup_id else None
        if setup is None or setup.mode != self.mode:
            return False
        if found.status == "succeeded" and found.payment_method is not None:
            await self.sync_method(found.payment_method, email=setup.email, setup=setup)
        if found.refused is not None and setup.state == "open":
            await self._count_refused(setup, found.refused)
        return True

    async def sync_method(self, method_id: str, *, email: str | None = None, setup: CardSetup | None = None) -> bool:
        """Keep a card as the processor knows it now. False when it belongs to nobody of ours.

        Raises NoSuchObject, ProcessorSilent and ProcessorRefused.
        """
        assert self._processor is not None
        mode = self._processor.mode
        method = await self._processor.find_method(method_id)
        async with self._database.transaction() as db:
            known = await card_rows.find_method(db, mode, method.id)
            owner = await customers.owner_of_customer(db, mode, method.customer) if method.customer else None
            if known is None and owner is None:
                return False
            if owner is None:
                assert known is not None
                owner = known.organization_id, known.email
            organization_id, owner_email = owner
            await card_rows.lock_cards(db, organization_id)
            superseded = await self._keep(db, organization_id, mode, method, email or owner_email, setup)
        await self._detach_now(superseded)
        return True

    async def tell_of_ending_cards(self, today: date | None = None) -> None:
        """The chore: one letter thirty and one seven days before a saved card ends."""
        if self.mode is None:
            return
        today = today or system_clock().date()
        async with self._database.transaction() as db:
            for card in await card_rows.ending_cards(db, self.mode, today, _NOTICES_MAX):
                ends_on = (date(card.exp_year, card.exp_month, 1) + timedelta(days=32)).replace(day=1)
                days = min(days for days in NOTICE_DAYS if (ends_on - today).days <= days)
                await _tell(db, card, "card_ending", f"card-ending:{card.id}:{card.exp_year}-{card.exp_month}:{days}")

    async def _count_refused(self, setup: CardSetup, method_id: str) -> None:
        """Close a page on which too many cards were refused."""
        assert self._processor is not None
        tried = TriedCard(method_id, "failed", int(system_clock().timestamp()))
        async with self._database.transaction() as db:
            is_too_much = await card_tests.note_refused(db, setup.organization_id, setup.id, [tried])
        if is_too_much and setup.session_id is not None:
            _log.warning("card_page_closed", setup=setup.shown_id)
            with contextlib.suppress(ProcessorRefused):
                await self._processor.expire_session(setup.session_id)

    async def _open(self, processor: Processor, setup: CardSetup) -> CardSetup:
        if setup.state != "created":
            return setup
        left_s = (setup.session_expires_at - system_clock()).total_seconds()
        async with self._database.transaction() as db:
            is_closed = await closings.closed_at(db, setup.organization_id) is not None
            if is_closed or left_s < SESSION_LEFT_S_MIN:
                await card_rows.end_setup(db, setup.id, "expired")
                return setup
        try:
            session = await self._checkout.with_customer(
                processor,
                setup.organization_id,
                setup.email,
                lambda customer, end: processor.create_setup_session(
                    setup_id=setup.id,
                    organization_id=setup.organization_id,
                    customer=customer,
                    page=self.page_of(setup),
                    back=f"{self._checkout.site_url}/billing#cards",
                    expires_at=int(setup.session_expires_at.timestamp()),
                    key=f"setup:{setup.id}{end}",
                ),
            )
        except ProcessorRefused as refused:
            _log.error("card_setup_refused", setup=setup.shown_id, reason=refused.reason)
            async with self._database.transaction() as db:
                await card_rows.end_setup(db, setup.id, "failed")
            raise
        async with self._database.transaction() as db:
            await card_rows.open_setup(db, setup, session)
            found = await card_rows.find_setup(db, setup.id)
        assert found is not None
        return found

    async def _keep(  # noqa: PLR0913, PLR0917 -- whose card, what it is, and how it came
        self, db: Connection, organization_id: UUID, mode: Mode, method: Method, email: str, setup: CardSetup | None
    ) -> list[Card]:
        """Write down how things are with a card; gives the rows of the same card that this one replaces."""
        known = await card_rows.find_method(db, mode, method.id)
        if method.customer is None or method.card is None:
            if known is not None and known.removed_at is None:
                await self._remove(db, known)
            return []
        replaced: list[Card] = []
        if known is None:
            same = method.card.fingerprint
            replaced = [
                card for card in await card_rows.list_cards(db, organization_id, mode) if card.fingerprint == same
            ]
            known = await card_rows.add_card(db, organization_id, mode, method.id, method.card, email)
            if await closings.wake(db, organization_id):
                # Saved on a page that was still open when the account was deleted.
                await card_rows.remove_card(db, known)
                return []
            if any(card.is_default for card in replaced):
                await card_rows.set_default(db, known)
            for card in replaced:
                await card_rows.remove_card(db, card)
            await self._automatic.cards_changed(db, organization_id, mode)
            await _tell(db, known, "card_added", f"card-added:{known.id}")
        elif known.removed_at is None:
            await card_rows.update_card(db, known, method.card)
            await self._automatic.cards_changed(db, organization_id, mode)
        if setup is not None:
            await card_rows.end_setup(db, setup.id, "done", known.id)
        return replaced

    async def _remove(self, db: Connection, card: Card) -> None:
        if await card_rows.remove_card(db, card):
            await self._automatic.cards_changed(db, card.organization_id, card.mode)
            await _tell(db, card, "card_removed", f"card-removed:{card.id}")

    async def tidy(self) -> None:
        """The chore: have the processor forget the removed cards that it still has."""
        with contextlib.suppress(ProcessorSilent, ProcessorRefused):
            await self.detach_removed()

    async def detach_removed(self, organization_id: UUID | None = None) -> int:
        """Have the processor forget removed cards, everybody's or an organization's; how many more there are.

        Raises ProcessorSilent and ProcessorRefused.
        """
        if self._processor is None:
            return 0
        async with self._database.transaction() as db:
            found = await card_rows.removed_cards(db, self._processor.mode, _DETACHED_MAX + 1, organization_id)
        for card in found[:_DETACHED_MAX]:
            await self._detach(self._processor, card)
        return len(found[_DETACHED_MAX:])

    async def _detach_now(self, cards: Sequence[Card]) -> None:
        """The same at once. They are not charged any more either way: what fails the chore makes up for."""
        for card in cards:
            if self._processor is None or card.mode != self._processor.mode:
                continue
            try:
                await self._detach(self._processor, card)
            except (ProcessorSilent, ProcessorRefused) as error:
                _log.warning("card_not_detached", card=card.shown_id, reason=error.reason)

    async def _detach(self, processor: Processor, card: Card) -> None:
        try:
            await processor.detach(card.stripe_id)
        except ProcessorRefused:
            # It says no to what it did before; only a card that still has its customer is not done with.
            with contextlib.suppress(NoSuchObject):
                if (await processor.find_method(card.stripe_id)).customer is not None:
                    raise
        async with self._database.transaction() as db:
            await card_rows.mark_detached(db, card)


async def _tell(db: Connection, card: Card, kind: str, key: str) -> None:
    context = {"card": card.name, "ends": card.ends}
    # Empty when whoever saved it has deleted their account.
    if card.email:
        await outbox.write(db, outbox.Letter(key=key, to=card.email, kind=kind, context=context))
