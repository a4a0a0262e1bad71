"""A forgotten password, and a changed one."""

import asyncio

import pytest

from identity.site import ALICE, PASSWORD, Site
from pouch.identity.sessions import find_session
from pouch.identity.throttles import MAIL_PER_CLIENT, MAIL_PER_MAILBOX, SIGN_IN_PER_ADDRESS

pytestmark = pytest.mark.anyio

NEW = "a whole new password"


async def reset_path(site: Site, email: str = ALICE, *, to: str = ALICE) -> str:
    async with site.browser("198.51.100.1") as browser:
        assert (await browser.post("/reset", data={"email": email})).status_code == 303
    return (await site.post.one(to)).path("/reset/")


async def test_a_forgotten_password_is_replaced_by_mail(site: Site) -> None:
    """Everybody else is signed out, whoever pressed the button is in, and it is told by mail."""
    await site.person()
    async with site.signed_in() as laptop, site.browser("198.51.100.1") as phone:
        path = await reset_path(site, "ALICE@example.com")
        assert 'autocomplete="new-password"' in (await phone.get(path)).text
        assert (await phone.post(path, data={"password": "short"})).status_code == 400
        answer = await phone.post(path, data={"password": NEW})
        assert (answer.status_code, answer.headers["location"]) == (303, "/settings?done=reset")
        assert (await phone.get("/settings")).status_code == 200
        assert (await laptop.get("/settings")).status_code == 303
        assert (await site.post.one(ALICE)).subject == "Your password at Pouch was changed"
        assert (await laptop.post("/sign-in", data={"email": ALICE, "password": PASSWORD})).status_code == 401
        assert (await laptop.post("/sign-in", data={"email": ALICE, "password": NEW})).status_code == 303
        for again in (await phone.get(path), await phone.post(path, data={"password": PASSWORD})):
            assert again.status_code == 404


async def test_an_address_that_nobody_has_gets_the_same_page_and_no_mail(site: Site) -> None:
    await site.person()
    async with site.browser() as browser:
        known = await browser.post("/reset", data={"email": ALICE})
        unknown = await browser.post("/reset", data={"email": "carol@example.com"})
    assert (known.status_code, known.headers) == (unknown.status_code, unknown.headers)
    assert [mail.to for mail in await site.post.deliver()] == [ALICE]
    # As many rows for one as for the other, and nothing that anybody could use.
    assert await site.query("SELECT count(*), count(person_id) FROM identity_links WHERE kind = 'reset'") == [(2, 1)]


@pytest.mark.parametrize("minutes", [59, 61])
async def test_the_link_works_for_an_hour(site: Site, minutes: int) -> None:
    await site.person()
    path = await reset_path(site)
    moved = f"expires_at = expires_at - interval '{minutes} minutes', created_at = created_at - interval '2 hours'"
    await site.query(f"UPDATE identity_links SET {moved}")
    async with site.browser() as browser:
        assert (await browser.get(path)).status_code == (200 if minutes == 59 else 404)
        assert (await browser.post(path, data={"password": NEW})).status_code == (303 if minutes == 59 else 404)


async def test_of_two_posts_of_one_link_one_goes_through_and_ends_the_other_links(site: Site) -> None:
    await site.person()
    first, second = await reset_path(site), await reset_path(site)
    async with site.browser() as browser:
        answers = await asyncio.gather(*(browser.post(first, data={"password": NEW}) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [303] + 4 * [404]
        assert (await browser.get(second)).status_code == 404


async def test_resetting_proves_the_address_of_somebody_unverified(site: Site) -> None:
    """Carol signed up with Alice's address and a password of her own: it is Alice's account now."""
    async with site.browser("198.51.100.66") as carol:
        await carol.post("/sign-up", data={"email": ALICE, "password": "carol's password"})
        await site.post.deliver()
        path = await reset_path(site)
        async with site.browser() as alice:
            await alice.post(path, data={"password": NEW})
        assert (await carol.get("/settings")).status_code == 303
        answer = await carol.post("/sign-in", data={"email": ALICE, "password": "carol's password"})
        assert answer.status_code == 401
    assert (await site.find()).verified_at is not None


async def test_asking_is_throttled_for_everybody_alike(site: Site) -> None:
    await site.person()
    for email in (ALICE, "carol@example.com"):
        for number in range(MAIL_PER_MAILBOX.count_max + 1):
            async with site.browser(f"192.0.2.{number}") as browser:
                status = (await browser.post("/reset", data={"email": email})).status_code
                assert status == (303 if number < MAIL_PER_MAILBOX.count_max else 429)
    async with site.browser("198.51.100.1") as browser:
        for number in range(MAIL_PER_CLIENT.count_max):
            assert (await browser.post("/reset", data={"email": f"p{number}@example.com"})).status_code == 303
        assert (await browser.post("/reset", data={"email": "q@example.com"})).status_code == 429


async def test_what_is_no_address_is_said_beside_the_field(site: Site) -> None:
    async with site.browser() as browser:
        answer = await browser.post("/reset", data={"email": "alice"})
    assert answer.status_code == 400
    assert 'id="email-error"' in answer.text


async def test_a_password_is_changed_by_who_knows_it(site: Site) -> None:
    """Signed out everywhere else, with a new secret here, and told by mail."""
    await site.person()
    async with site.signed_in() as laptop, site.signed_in() as phone:
        before = laptop.cookies["pouch"]
        form = {"current": PASSWORD, "password": NEW}
        answer = await laptop.post("/settings/password", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/settings?done=password")
        assert "Your password is changed" in (await laptop.get("/settings?done=password")).text
        assert laptop.cookies["pouch"] != before
        async with site.database.transaction() as db:
            assert await find_session(db, before) is None
        assert (await phone.get("/settings")).status_code == 303
        assert (await site.post.one(ALICE)).subject == "Your password at Pouch was changed"
        assert (await phone.post("/sign-in", data={"email": ALICE, "password": NEW})).status_code == 303


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"current": "wrong password", "password": NEW}, "current"),
        ({"current": PASSWORD, "password": "short"}, "password"),
        ({"current": PASSWORD, "password": PASSWORD}, "password"),
        ({"current": PASSWORD}, "password"),
    ],
)
async def test_a_mistake_is_said_beside_its_field(site: Site, form: dict[str, str], field: str) -> None:
    await site.person()
    async with site.signed_in() as browser:
        answer = await browser.post("/settings/password", data=form)
        assert answer.status_code == 400
        assert f'id="{field}-error"' in answer.text
        assert PASSWORD not in answer.text
        assert (await browser.get("/settings")).status_code == 200
    assert await site.post.deliver() == []


async def test_guessing_the_password_in_the_settings_counts_as_guessing_it(site: Site) -> None:
    """An unlocked laptop is no way around the throttle of the sign-in."""
    await site.person()
    async with site.signed_in() as browser:
        for number in range(SIGN_IN_PER_ADDRESS.count_max):
            path, form = (
                ("/settings/password", {"current": f"wrong {number}", "password": NEW})
                if number % 2
                else ("/confirm-password", {"password": f"wrong {number}"})
            )
            assert (await browser.post(path, data=form)).status_code in {400, 401}
        assert (await browser.post("/confirm-password", data={"password": PASSWORD})).status_code == 429
        form = {"current": PASSWORD, "password": NEW}
        assert (await browser.post("/settings/password", data=form)).status_code == 429
    async with site.browser("198.51.100.1") as other:
        assert (await other.post("/sign-in", data={"email": ALICE, "password": PASSWORD})).status_code == 429


async def test_of_two_changes_at_once_one_counts(site: Site) -> None:
    await site.person()
    async with site.signed_in() as one:
        forms = [{"current": PASSWORD, "password": f"{NEW} {number}"} for number in range(4)]
        answers = await asyncio.gather(*(one.post("/settings/password", data=form) for form in forms))
        assert [answer.status_code for answer in answers].count(303) == 1
        assert len(await site.post.deliver()) == 1
