"""Devices: found by their secret or their token, for the organizations of their person, until they are revoked."""

import pytest

from identity.site import ALICE
from pouch.base.database import Connection
from pouch.base.errors import Conflict, NotFound
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.identity.devices import (
    SIGNED_IN,
    add_device,
    find_editor,
    find_holder,
    just_revoked,
    list_devices,
    new_secret,
    note_seen,
    revoke_device,
    revoke_devices,
    take_seat,
)
from pouch.identity.organizations import add_member, add_organization
from pouch.identity.people import add_person
from pouch.identity.session_tokens import Claims
from pouch.identity.types import DeviceId, DeviceKind, OrganizationId, Person
from pouch.ledger.errors import Refusal
from pouch.ledger.grants import grant
from pouch.ledger.operations import Hold
from pouch.ledger.posting import post

pytestmark = pytest.mark.anyio
LATER = 2_000_000_000


@pytest.fixture
async def alice(db: Connection) -> Person:
    return await add_person(db, ALICE, None, verified=True)


async def add_editor(db: Connection, person: Person) -> tuple[DeviceId, str]:
    secret = new_secret()
    return await add_device(db, person.id, person.organization_id, kind="editor", name="Cursor", secret=secret), secret


def claims(device: DeviceId, person: Person, organization: OrganizationId | None = None) -> Claims:
    return Claims(device, person.id, organization, LATER)


async def test_a_signed_out_device_is_nobody_and_can_hold_nothing(db: Connection, alice: Person) -> None:
    await grant(db, alice.organization_id, Money.from_cents(5_00), key="t", note="test")
    device, secret = await add_editor(db, alice)
    other, _ = await add_editor(db, alice)

    assert [await revoke_device(db, alice.id, device) for _ in range(2)] == [True, False]

    assert await find_editor(db, secret) is None
    assert await take_seat(db, secret, device, "last") is None
    assert await find_holder(db, claims(device, alice)) is None
    assert [listed.id for listed in await list_devices(db, alice.id)] == [other]
    assert device in await just_revoked(db)
    await post(db, [Hold(new_id(), alice.organization_id, 1_000, (other,))])
    with pytest.raises(Refusal) as refusal:
        await post(db, [Hold(new_id(), alice.organization_id, 1_000, (device,))])
    assert refusal.value.refused.source == "blocked"


async def test_somebody_elses_device_is_left_alone(db: Connection, alice: Person) -> None:
    carol = await add_person(db, "carol@example.com", None, verified=True)
    device, secret = await add_editor(db, alice)
    assert await revoke_device(db, carol.id, device) is False
    assert await find_editor(db, secret) is not None
    assert await find_holder(db, claims(device, carol)) is None


async def test_an_editor_acts_for_the_organizations_of_its_person_and_no_others(db: Connection, alice: Person) -> None:
    carol = await add_person(db, "carol@example.com", None, verified=True)
    harbor, pier = [await add_organization(db, name, carol) for name in ("Harbor", "Pier")]
    await add_member(db, harbor, alice, "member")
    device, secret = await add_editor(db, alice)

    seat = await take_seat(db, secret, device, harbor.id)
    assert seat is not None
    assert seat.organization_id == harbor.id
    assert (await take_seat(db, secret, device, "last")) == seat
    own = await take_seat(db, secret, device, "personal")
    assert own is not None
    assert own.organization_id is None
    for foreign in (pier.id, carol.organization_id, OrganizationId(new_id())):
        with pytest.raises(NotFound):
            await take_seat(db, secret, device, foreign)
    with pytest.raises(NotFound):
        await take_seat(db, secret, DeviceId(new_id()), "last")

    holder = await find_holder(db, claims(device, alice, harbor.id))
    assert holder is not None
    assert (holder.organization_id, holder.is_personal, holder.expires_at) == (harbor.id, False, LATER)
    assert await find_holder(db, claims(device, alice, pier.id)) is None
    await db.execute(
        "DELETE FROM identity_memberships WHERE person_id = %s AND organization_id = %s", (alice.id, harbor.id)
    )
    assert await find_holder(db, claims(device, alice, harbor.id)) is None
    with pytest.raises(NotFound):
        await take_seat(db, secret, device, harbor.id)


async def test_the_refresh_writes_only_what_is_new(db: Connection, alice: Person) -> None:
    device, secret = await add_editor(db, alice)

    async def version() -> object:
        rows = await db.execute("SELECT ctid, seen_at FROM identity_devices WHERE id = %s", (device,))
        return await rows.fetchone()

    before = await version()
    for _ in range(3):
        await take_seat(db, secret, device, "personal")
    assert await version() == before
    await db.execute("UPDATE identity_devices SET created_at = created_at - interval '6 minutes'")
    await take_seat(db, secret, device, "personal")
    seen = await version()
    assert seen != before
    await take_seat(db, secret, device, "personal")
    await note_seen(db, [device])
    assert await version() == seen


@pytest.mark.parametrize(
    ("kind", "moved", "lives"),
    [
        ("editor", "seen_at = now() - interval '29 days'", True),
        ("editor", "seen_at = now() - interval '31 days'", False),
        ("editor", "created_at = now() - interval '31 days'", False),
        ("cli", "seen_at = now() - interval '31 days'", True),
        ("cli", "created_at = now() - interval '91 days', expires_at = now() - interval '1 day'", False),
        ("static", "created_at = now() - interval '99 days'", True),
    ],
)
async def test_a_device_ends_by_itself(
    db: Connection, alice: Person, kind: DeviceKind, moved: str, lives: bool
) -> None:
    secret = new_secret() if kind == "editor" else None
    device = await add_device(db, alice.id, alice.organization_id, kind=kind, name="x", secret=secret)
    await db.execute(f"UPDATE identity_devices SET {moved} WHERE id = %s".encode(), (device,))
    assert (await find_holder(db, claims(device, alice)) is not None) is lives
    assert bool(await list_devices(db, alice.id)) is lives


async def test_a_new_password_signs_editors_and_terminals_out_and_leaves_the_operators_tokens(
    db: Connection, alice: Person
) -> None:
    editor, _ = await add_editor(db, alice)
    terminal, static = [
        await add_device(db, alice.id, alice.organization_id, kind=kind, name=kind) for kind in ("cli", "static")
    ]
    assert sorted(await revoke_devices(db, alice.id, *SIGNED_IN)) == sorted([editor, terminal])
    assert [each.id for each in await list_devices(db, alice.id)] == [static]
    assert await revoke_devices(db, alice.id) == [static]


async def test_the_same_form_lets_one_terminal_in(db: Connection, alice: Person) -> None:
    carol = await add_person(db, "carol@example.com", None, verified=True)
    wanted = DeviceId(new_id())
    for _ in range(2):
        added = await add_device(db, alice.id, alice.organization_id, kind="cli", name="x", device_id=wanted)
        assert added == wanted
    assert len(await list_devices(db, alice.id)) == 1
    with pytest.raises(Conflict):
        await add_device(db, carol.id, carol.organization_id, kind="cli", name="x", device_id=wanted)
    await revoke_device(db, alice.id, wanted)
    with pytest.raises(Conflict):
        await add_device(db, alice.id, alice.organization_id, kind="cli", name="x", device_id=wanted)


async def test_a_dump_of_the_database_holds_no_secret(db: Connection, alice: Person) -> None:
    _, secret = await add_editor(db, alice)
    rows = await db.execute("SELECT d::text FROM identity_devices d")
    dump = str(await rows.fetchall())
    assert secret not in dump
    assert secret.rpartition("-")[2] not in dump
