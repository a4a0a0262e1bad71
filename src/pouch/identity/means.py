"""What the activities of this room work with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from pouch.base.database import Database
from pouch.base.errors import InvalidInput
from pouch.base.languages import say
from pouch.base.money import Money
from pouch.identity.addresses import Address
from pouch.identity.errors import LinkEnded
from pouch.identity.links import Tokens
from pouch.identity.passwords import Passwords
from pouch.identity.throttles import LINK_PER_CLIENT, Throttles, client_network
from pouch.identity.types import PersonId, SessionId
from pouch.settings import Settings


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who knocks: the client's address and program, and the session that their browser has already."""

    address: str
    user_agent: str
    session_id: SessionId | None = None

    @property
    def network(self) -> str:
        """Who the client's address stands for."""
        return client_network(self.address)


@dataclass(frozen=True, slots=True)
class Means:
    """The database, the passwords' threads, the throttles, the links' keys, and the operator's rules."""

    database: Database
    passwords: Passwords
    throttles: Throttles
    tokens: Tokens
    sign_up: Literal["open", "invite", "closed"]
    allowed_domains: tuple[str, ...]
    welcome: Money
    programs_ended: Callable[[PersonId], None] = lambda _: None
    """Called after each commit that signed a person's programs out, so that this process forgets their tokens."""

    @classmethod
    def of(
        cls,
        database: Database,
        settings: Settings,
        passwords: Passwords,
        throttles: Throttles,
        *,
        programs_ended: Callable[[PersonId], None] = lambda _: None,
    ) -> "Means":
        """What the settings say, with a database, passwords and throttles."""
        accounts = settings.file.accounts
        return cls(
            database=database,
            passwords=passwords,
            throttles=throttles,
            tokens=Tokens(settings.secret_keys, settings.url),
            sign_up=accounts.sign_up,
            allowed_domains=accounts.allowed_domains,
            welcome=settings.file.credits.welcome_grant_usd,
            programs_ended=programs_ended,
        )

    def check_domain(self, address: Address) -> None:
        """Raise InvalidInput for an address at a domain that the operator does not let in."""
        if self.allowed_domains and address.canonical.rpartition("@")[2] not in self.allowed_domains:
            domains = " or ".join(self.allowed_domains)
            raise InvalidInput(say("Only addresses at %(domains)s can be used here.", domains=domains), field="email")

    @contextmanager
    def counting_bad_links(self, visitor: Visitor) -> Iterator[None]:
        """Count a link that turns out to be none. Raises TooManyRequests when one client had too many of them."""
        with self.throttles.attempt((LINK_PER_CLIENT, visitor.network)) as attempt:
            try:
                yield
            except LinkEnded:
                attempt.count()
                raise
