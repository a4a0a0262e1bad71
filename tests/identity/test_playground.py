from uuid import UUID

import pytest

from pouch.base.database import Connection
from pouch.identity.keys import add_key, key_names
from pouch.identity.organizations import add_member, add_organization
from pouch.identity.people import add_person
from pouch.identity.playground import playground_key_id

pytestmark = pytest.mark.anyio


async def test_a_person_alone_has_one_playground(db: Connection) -> None:
    alice = await add_person(db, "alice@harbor.example", None, verified=True)
    key, _ = await add_key(db, alice, "Laptop")
    names = await key_names(db, alice.organization_id)
    assert list(names.items()) == [(key.id, "Laptop"), (playground_key_id(alice.id), "Playground")]


async def test_playgrounds_of_members_are_told_apart(db: Connection) -> None:
    alice = await add_person(db, "alice@harbor.example", None, verified=True)
    bob = await add_person(db, "bob@harbor.example", None, verified=True)
    carol = await add_person(db, "carol@elsewhere.example", None, verified=True)
    harbor = await add_organization(db, "Harbor", alice)
    await add_member(db, harbor, bob, "member")
    names = await key_names(db, harbor.id)
    assert names[playground_key_id(alice.id)] == "Playground of alice@harbor.example"
    assert names[playground_key_id(bob.id)] == "Playground of bob@harbor.example"
    assert playground_key_id(carol.id) not in names


def test_no_playground_is_a_person_or_another_playground() -> None:
    """A hold names both the key and the person: were they one, a limit would count each call twice."""
    first, second = UUID(int=1), UUID(int=2)
    assert len({first, second, playground_key_id(first), playground_key_id(second)}) == 4
