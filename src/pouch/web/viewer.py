"""What the frame of every page must know about the person who looks at it. Other rooms provide it."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from pouch.base.errors import PouchError
from pouch.base.languages import say
from pouch.base.money import Money


class Viewer(Protocol):
    """The person behind a request, and the organization whose money the pages show."""

    @property
    def person_id(self) -> UUID:
        """Who looks."""

    @property
    def organization_id(self) -> UUID:
        """Whose money and keys are shown."""

    @property
    def session_id(self) -> UUID:
        """Which sign-in this is."""

    @property
    def email(self) -> str:
        """The person's address, as they wrote it."""

    @property
    def is_operator(self) -> bool:
        """Whether they run this Pouch."""

    @property
    def is_verified(self) -> bool:
        """Whether they proved that the address is theirs."""


@dataclass(frozen=True, slots=True)
class Header:
    """The money in the top bar. `available` is `balance` less `held`; `pending` is paid but not yet confirmed."""

    available: Money
    held: Money
    balance: Money
    pending: Money


class SignInNeeded(PouchError):
    """Only a signed-in person may see this. Pages answer with the way to the sign-in page."""

    code = "sign_in_needed"
    status = 401

    def __init__(self) -> None:
        super().__init__(say("Sign in to see this."))


def initials(email: str) -> str:
    """One or two letters for the round button of the account menu: "alice.moreau@…" gives "AM"."""
    parts = [part for part in email.partition("@")[0].replace("_", ".").replace("-", ".").split(".") if part]
    return "".join(part[0] for part in parts[:2]).upper() or "?"
