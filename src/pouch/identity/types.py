"""What the other rooms may know about people, their sessions and their keys."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NewType, get_args
from uuid import UUID

from pouch.ledger.limits import Limit

PersonId = NewType("PersonId", UUID)
OrganizationId = NewType("OrganizationId", UUID)
SessionId = NewType("SessionId", UUID)
KeyId = NewType("KeyId", UUID)
DeviceId = NewType("DeviceId", UUID)

Role = Literal["owner", "admin", "billing", "member"]
ROLES: tuple[Role, ...] = get_args(Role)

Scope = Literal["inference", "billing:read", "billing:write", "agents", "keys"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

DeviceKind = Literal["editor", "cli", "static"]
"""An editor fetches short session tokens with a secret; the command line and static tokens are one long token each."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can sign in. `organization_id` is their personal organization."""

    id: PersonId
    email: str
    organization_id: OrganizationId
    is_operator: bool
    verified_at: datetime | None


@dataclass(frozen=True, slots=True)
class Organization:
    """Who owns credits and keys."""

    id: OrganizationId
    name: str
    is_personal: bool


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who is looking at a page, and as which organization."""

    person_id: PersonId
    organization_id: OrganizationId
    session_id: SessionId
    email: str
    is_operator: bool
    is_verified: bool
    signed_in_at: datetime
    """When the password was last given; money-moving pages may ask for a recent one."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose key or session token came with a call, and what it may do."""

    key_id: KeyId
    """The key, or the device that the token was made for: what is blocked when it is revoked."""
    organization_id: OrganizationId
    person_id: PersonId
    scopes: frozenset[str]
    counts_for: tuple[UUID, ...] = ()
    """Further subjects of the ledger whose limits and blocks hold for its calls: an agent's run."""
    model_ids: frozenset[str] | None = None
    """The only models it may call; None: any."""
    expires_at: datetime | None = None
    """When the key ends by itself."""


@dataclass(frozen=True, slots=True)
class Key:
    """An API key without its secret. `hint` is the secret's last four characters."""

    id: KeyId
    organization_id: OrganizationId
    person_id: PersonId
    name: str
    hint: str
    scopes: tuple[str, ...]
    limit: Limit | None
    created_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None
    expires_at: datetime | None = None
    """It ends then by itself."""
    disabled_at: datetime | None = None
    """It is switched off since then."""
    updated_at: datetime | None = None

    def is_over(self, now: datetime) -> bool:
        """Whether it has ended by itself."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a session token: a person, on a device, on behalf of one of their organizations."""

    device_id: DeviceId
    kind: DeviceKind
    person_id: PersonId
    organization_id: OrganizationId
    is_personal: bool
    """The organization is the person's own, and not one that they share."""
    expires_at: int
    """When the token ends, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Device:
    """A program that a person signed in, for their list."""

    id: DeviceId
    kind: DeviceKind
    name: str
    organization: str
    """The name of the organization whose credits it spends."""
    is_personal: bool
    address: str
    created_at: datetime
    seen_at: datetime | None
    expires_at: datetime
    limit: Limit | None = None
    """What it may spend."""
