"""The mailed link by which a person confirms with their bank what could not be charged while they were away.

In words. The link is signed, opens for 72 hours and nothing but a page that says what it is about. Pressing the button
there begins a purchase of the same amount on the processor's page, where the bank can ask. Nothing is made before that
press; pressing twice is the same purchase. Once it is paid, the attempt is recovered and the rule is armed again.
"""

from collections.abc import Mapping
from uuid import UUID

from pouch.base.database import Database
from pouch.base.ids import read_id
from pouch.base.secret_keys import SecretKeys
from pouch.base.signed_ids import SignedIds
from pouch.payments import purchases
from pouch.payments.checkout import Checkout
from pouch.payments.types import Purchase
from pouch.topups import attempts, rules
from pouch.topups.errors import LinkEnded
from pouch.topups.outcomes import RECOVERY
from pouch.topups.types import Attempt

PATH = "/top-up/confirm"
_PURPOSE = "topup:confirm"
_TRIES_MAX = 20


class ConfirmLinks:
    """Writes the links, and reads them again."""

    def __init__(self, secret_keys: SecretKeys, site_url: str) -> None:
        self._ids = SignedIds(secret_keys, _PURPOSE)
        self._site_url = site_url

    def token(self, attempt_id: UUID) -> str:
        """What opens the page of an attempt. A secret: it goes into letters, never into the database."""
        return self._ids.write(attempt_id)

    def read(self, token: str) -> UUID:
        """The attempt that a token of ours opens. Raises LinkEnded for any other text."""
        attempt_id = self._ids.read(token)
        if attempt_id is None:
            raise LinkEnded
        return attempt_id

    def complete(self, _kind: str, context: Mapping[str, str]) -> Mapping[str, str]:
        """Put the address into a letter that is about to be sent."""
        if "confirm" not in context:
            return context
        attempt_id = read_id("top", context["confirm"])
        assert attempt_id is not None
        return {**context, "confirm_url": f"{self._site_url}{PATH}/{self.token(attempt_id)}"}


class Recovery:
    """What the page of such a link does."""

    def __init__(self, database: Database, checkout: Checkout, links: ConfirmLinks) -> None:
        self._database = database
        self._checkout = checkout
        self._links = links

    async def find(self, token: str) -> Attempt:
        """The attempt that can be confirmed. Raises LinkEnded."""
        attempt_id = self._links.read(token)
        async with self._database.transaction() as db:
            row = await (await db.execute("SELECT now()")).fetchone()
            attempt = await attempts.find_attempt(db, attempt_id)
        assert row is not None
        is_open = attempt is not None and attempt.state == "needs_action" and attempt.confirm_until is not None
        if attempt is None or not is_open or (attempt.confirm_until or row[0]) <= row[0]:
            raise LinkEnded
        return attempt

    async def begin(self, token: str) -> Purchase:
        """The purchase that makes up for it, with its payment page: send the browser to `Checkout.url_of`.

        Raises LinkEnded, NoProcessor and ProcessorRefused.
        """
        attempt = await self.find(token)
        async with self._database.transaction() as db:
            rule = await rules.find_rule(db, attempt.organization_id)
            key = ""
            for number in range(_TRIES_MAX):
                key = f"{RECOVERY}{attempt.shown_id}:{number}"
                known = await purchases.find_attempt(db, attempt.organization_id, key)
                if known is None or known.state not in {"failed", "expired"}:
                    break
        assert rule is not None
        return await self._checkout.start(
            organization_id=attempt.organization_id,
            person_id=rule.person_id,
            email=rule.email,
            amount=attempt.amount,
            attempt=key,
            saves_card=True,
        )
