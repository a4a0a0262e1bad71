"""Whose call it is when a signed-in person tries a model in the browser, without a key of their own."""

from collections.abc import Sequence
from uuid import UUID

from pouch.base.ids import derived_id
from pouch.identity.types import Caller, KeyId, OrganizationId, PersonId
from pouch.web.viewer import Viewer

NAME = "Playground"
"""What usage pages call it."""


def playground_key_id(person_id: UUID) -> KeyId:
    """The id under which a person's calls from the playground are recorded. No key has it, so none can be revoked.

    It is not the person's own id: a hold names both, and a limit of the person's must count a call once.
    """
    return KeyId(derived_id(f"playground:{person_id}"))


def playground_names(members: Sequence[tuple[UUID, str]]) -> dict[UUID, str]:
    """What the playground of each member (id, address) is called; of several, the address tells them apart."""
    if len(members) == 1:
        return {playground_key_id(members[0][0]): NAME}
    return {playground_key_id(person_id): f"{NAME} of {email}" for person_id, email in members}


def playground_caller(viewer: Viewer) -> Caller:
    """A caller who may call models on the organization that they look at."""
    return Caller(
        key_id=playground_key_id(viewer.person_id),
        organization_id=OrganizationId(viewer.organization_id),
        person_id=PersonId(viewer.person_id),
        scopes=frozenset({"inference"}),
    )
