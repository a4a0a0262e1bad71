"""The workspaces that the operator named in pouch.toml: whose each is, and the token that we speak with there."""

import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from pouch.agents.triggers.types import House
from pouch.base.database import Connection
from pouch.base.ids import read_id
from pouch.identity.organizations import member_with_address
from pouch.settings import SettingsError, Workspace


@dataclass(frozen=True, slots=True)
class Known:
    """A workspace."""

    organization_id: UUID
    token: str = field(repr=False)


class Workspaces:
    """All of one place. Runs count for the member who asks, found by their address; strangers start none."""

    def __init__(self, known: Mapping[str, Known]) -> None:
        self._known = known

    @classmethod
    def of(cls, written: Sequence[Workspace], where: str) -> "Workspaces":
        """Read them. Raises SettingsError for an organization or a token that is not there."""
        found: dict[str, Known] = {}
        for each in written:
            organization_id, token = read_id("org", each.organization), os.environ.get(each.token_env, "")
            if organization_id is None:
                raise SettingsError(f"[{where}] {each.organization} is not the id of an organization.")
            if not token:
                raise SettingsError(f"[{where}] {each.id} needs {each.token_env} in the environment.")
            found[each.id] = Known(organization_id, token)
        return cls(found)

    def house(self, workspace: str) -> House | None:
        """Whose a workspace is."""
        known = self._known.get(workspace)
        return None if known is None else House(workspace, known.organization_id, None)

    def token(self, workspace: str) -> str:
        """What we speak with there."""
        return self._known[workspace].token

    @staticmethod
    async def member(db: Connection, house: House, email: str) -> UUID | None:
        """Who of the organization has this address."""
        return await member_with_address(db, house.organization_id, email)


def is_signed(message: bytes, signature: str, secret: str) -> bool:
    """Whether a signature in hexadecimal is the message's HMAC-SHA256."""
    expected = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))
