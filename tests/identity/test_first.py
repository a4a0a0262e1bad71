"""The one-time link of the first operator."""

import asyncio

import pytest

from identity.site import ALICE, PASSWORD, Site
from pouch.base.database import Connection
from pouch.base.errors import NotFound
from pouch.identity.errors import AddressTaken
from pouch.identity.first import add_first_person, first_link, is_first_link
from pouch.identity.people import add_person, find_person

pytestmark = pytest.mark.anyio


async def a_link(db: Connection) -> str:
    token = await first_link(db)
    assert token is not None
    return token


async def test_who_uses_the_link_becomes_a_verified_operator(db: Connection) -> None:
    token = await a_link(db)
    alice = await add_first_person(db, token, ALICE, "hash")
    assert alice.is_operator
    assert alice.verified_at is not None
    assert not await is_first_link(db, token)
    assert await first_link(db) is None


async def test_a_new_link_replaces_the_old_one(db: Connection) -> None:
    old, new = await a_link(db), await a_link(db)
    assert not await is_first_link(db, old)
    with pytest.raises(NotFound):
        await add_first_person(db, old, ALICE, "hash")
    await add_first_person(db, new, ALICE, "hash")


async def test_the_link_is_not_in_the_database(db: Connection) -> None:
    token = await a_link(db)
    rows = await db.execute("SELECT t::text FROM identity_first_tickets t")
    assert token not in str(await rows.fetchall())


async def test_a_stranger_who_signs_up_first_does_not_lock_the_operator_out(db: Connection) -> None:
    token = await a_link(db)
    await add_person(db, "carol@example.com", "hash", verified=False)
    assert await is_first_link(db, token)
    assert await first_link(db) is not None


async def test_an_operator_from_the_command_line_ends_the_link(db: Connection) -> None:
    token = await a_link(db)
    await add_person(db, "root@example.com", None, verified=True, operator=True)
    assert not await is_first_link(db, token)
    with pytest.raises(NotFound):
        await add_first_person(db, token, ALICE, "hash")


async def test_a_taken_address_leaves_the_link_as_it_was(db: Connection) -> None:
    token = await a_link(db)
    await add_person(db, ALICE, None, verified=True)
    with pytest.raises(AddressTaken):
        async with db.transaction():
            await add_first_person(db, token, ALICE, "hash")
    await add_first_person(db, token, "bob@example.com", "hash")


async def test_of_ten_posts_at_once_one_becomes_operator(site: Site) -> None:
    """The link was seen by ten people, who all press the button."""
    async with site.database.transaction() as db:
        token = await a_link(db)

    async def register(number: int) -> int:
        async with site.browser(f"192.0.2.{number}") as browser:
            form = {"email": f"person{number}@example.com", "password": PASSWORD}
            answer = await browser.post(f"/first/{token}", data=form)
            return answer.status_code

    statuses = await asyncio.gather(*(register(number) for number in range(10)))

    assert sorted(statuses) == [303] + 9 * [404]
    async with site.database.transaction() as db:
        rows = await db.execute("SELECT count(*), count(*) FILTER (WHERE is_operator) FROM identity_people")
        assert await rows.fetchone() == (1, 1)


async def test_a_link_made_while_it_is_used_is_dead(site: Site) -> None:
    """A second `serve` starts in the moment in which the operator registers."""
    async with site.database.transaction() as db:
        token = await a_link(db)

    async def start_again() -> str | None:
        async with site.database.transaction() as db:
            return await first_link(db)

    async with site.browser() as browser:
        form = {"email": ALICE, "password": PASSWORD}
        posting = asyncio.ensure_future(browser.post(f"/first/{token}", data=form))
        others = await asyncio.gather(*(start_again() for _ in range(5)))
        posted = await posting
    async with site.database.transaction() as db:
        alice = await find_person(db, ALICE)
        live = [other for other in others if other and await is_first_link(db, other)]
        # Either the old link was still good and the new one is none, or the other way round.
        assert (posted.status_code, alice is not None, len(live)) in {(303, True, 0), (404, False, 1)}
