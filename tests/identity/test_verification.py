"""Proving that an address is one's own."""

import asyncio

import httpx
import pytest

from identity.site import ALICE, PASSWORD, OpenSite, Site
from pouch.base.money import ZERO, Money
from pouch.identity.throttles import LINK_PER_CLIENT, MAIL_PER_MAILBOX
from pouch.ledger.accounts import balance

pytestmark = pytest.mark.anyio

FORM = {"email": ALICE, "password": PASSWORD}
WELCOME = '[credits]\nwelcome_grant_usd = "2.50"\n'


async def available(site: Site, email: str = ALICE) -> Money:
    person = await site.find(email)
    async with site.database.transaction() as db:
        return (await balance(db, person.organization_id)).available


async def sign_up(browser: httpx.AsyncClient, email: str = ALICE) -> None:
    answer = await browser.post("/sign-up", data={"email": email, "password": PASSWORD})
    assert answer.status_code == 303, answer.text


async def test_the_button_behind_the_mailed_link_verifies_and_brings_the_welcome_credits(open_site: OpenSite) -> None:
    async with open_site(WELCOME) as site, site.browser() as browser:
        await sign_up(browser)
        mail = await site.post.one(ALICE)
        assert mail.subject == "Confirm your address for Pouch"
        path = mail.path("/verify/")
        assert f"{site.url}{path}" in mail.html
        assert await available(site) == ZERO

        for _ in range(3):  # a mail scanner follows every link
            async with site.browser("198.51.100.9") as scanner:
                assert ALICE in (await scanner.get(path)).text
        assert (await site.find()).verified_at is None

        answer = await browser.post(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/verify")
        assert "Your address is confirmed" in (await browser.get("/verify")).text
        assert (await site.find()).verified_at is not None
        assert await available(site) == Money.from_cents(2_50)

        for answer in (await browser.post(path), await browser.get(path)):
            assert answer.status_code == 404
            assert "This link has ended" in answer.text
        assert await available(site) == Money.from_cents(2_50)


async def test_pressed_in_another_browser_it_verifies_and_signs_nobody_in(site: Site) -> None:
    """Whoever owns the mailbox need not be who chose the password."""
    async with site.browser() as browser, site.browser("198.51.100.1") as phone:
        await sign_up(browser)
        path = (await site.post.one(ALICE)).path("/verify/")
        answer = await phone.post(path)
        assert answer.headers["location"] == "/sign-in?confirmed"
        assert not phone.cookies
        assert "Your address is confirmed" in (await phone.get("/sign-in?confirmed")).text
        assert "Your address is confirmed" in (await browser.get("/verify")).text


async def test_of_ten_presses_at_once_one_verifies(open_site: OpenSite) -> None:
    async with open_site(WELCOME) as site, site.browser() as browser:
        await sign_up(browser)
        path = (await site.post.one(ALICE)).path("/verify/")
        answers = await asyncio.gather(*(browser.post(path) for _ in range(10)))
        assert sorted(answer.status_code for answer in answers) == [303] + 9 * [404]
        assert await available(site) == Money.from_cents(2_50)


@pytest.mark.parametrize("hours", [23, 25])
async def test_a_link_works_for_a_day(site: Site, hours: int) -> None:
    async with site.browser() as browser:
        await sign_up(browser)
        path = (await site.post.one(ALICE)).path("/verify/")
        moved = (
            f"created_at = created_at - interval '{hours} hours', expires_at = expires_at - interval '{hours} hours'"
        )
        await site.query(f"UPDATE identity_links SET {moved}")
        assert (await browser.post(path)).status_code == (303 if hours == 23 else 404)


async def test_a_link_of_another_kind_or_another_site_is_none(site: Site) -> None:
    async with site.browser() as browser:
        await sign_up(browser)
        path = (await site.post.one(ALICE)).path("/verify/")
        token = path.removeprefix("/verify/")
        changed = token[:-1] + ("0" if token[-1] != "0" else "1")
        for other in (f"/reset/{token}", f"/invitation/{token}", f"/undo-change/{token}", f"/change-address/{token}"):
            assert (await browser.get(other)).status_code == 404
        for text in (
            changed,
            token[:-1],
            token + "0",
            "x" * 64,
            "0" * 64,
            "é" * 64,
            token.replace(token[:26], "0" * 26),
        ):
            assert (await browser.post(f"/verify/{text}")).status_code == 404
        assert (await site.find()).verified_at is None


async def test_guessing_links_is_throttled(site: Site) -> None:
    async with site.browser() as browser:
        await sign_up(browser)
        path = (await site.post.one(ALICE)).path("/verify/")
        for _ in range(LINK_PER_CLIENT.count_max):
            assert (await browser.get("/verify/guess")).status_code == 404
        assert (await browser.get("/verify/guess")).status_code == 429
    async with site.browser("198.51.100.1") as phone:
        assert (await phone.get(path)).status_code == 200


async def test_until_then_there_is_no_key_and_a_button_that_sends_the_mail_again(site: Site) -> None:
    async with site.browser() as browser:
        await sign_up(browser)
        (await site.post.deliver()).clear()
        page = await browser.get("/keys")
        assert "Send the mail again" in page.text
        assert 'name="limit"' not in page.text
        answer = await browser.post("/keys", data={"name": "Laptop"})
        assert answer.status_code == 403
        assert 'action="/verify"' in answer.text
        assert await site.query("SELECT 1 FROM identity_keys") == []

        answer = await browser.post("/verify", data={})
        assert answer.headers["location"] == "/verify?again"
        assert "again" in (await browser.get("/verify?again")).text
        path = (await site.post.one(ALICE)).path("/verify/")
        await browser.post(path)
        assert (await browser.post("/keys", data={"name": "Laptop"})).status_code == 200


async def test_either_of_two_mails_verifies(site: Site) -> None:
    """Pressing the older one is no mistake; the other has ended then."""
    async with site.browser() as browser:
        await sign_up(browser)
        await browser.post("/verify", data={})
        first, second = [mail.path("/verify/") for mail in await site.post.deliver()]
        assert first != second
        assert (await browser.post(first)).status_code == 303
        assert (await browser.post(second)).status_code == 404


async def test_a_mailbox_is_not_flooded(site: Site) -> None:
    """By no spelling of its address, and by no form."""
    async with site.browser() as browser:
        await sign_up(browser)
        for _ in range(MAIL_PER_MAILBOX.count_max - 1):
            assert (await browser.post("/verify", data={})).status_code == 303
        answer = await browser.post("/verify", data={})
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
        assert "Too many attempts" in answer.text
    async with site.browser("198.51.100.1") as other:
        for email in (ALICE.upper(), "a.lice@example.com", "alice+x@example.com"):
            assert (await other.post("/sign-up", data={"email": email, "password": PASSWORD})).status_code == 429
            assert (await other.post("/reset", data={"email": email})).status_code == 429
    assert len(await site.post.deliver()) == MAIL_PER_MAILBOX.count_max
    site.clock.now += MAIL_PER_MAILBOX.window_s
    async with site.browser("198.51.100.1") as other:
        assert (await other.post("/reset", data={"email": ALICE})).status_code == 303


async def test_a_verified_person_gets_no_more_mails(site: Site) -> None:
    await site.person()
    async with site.signed_in() as browser:
        assert (await browser.post("/verify", data={})).status_code == 303
    assert await site.post.deliver() == []


async def test_one_mailbox_brings_one_welcome_even_after_the_account_is_gone(open_site: OpenSite) -> None:
    async with open_site(WELCOME) as site:
        for number, email in enumerate((ALICE, "a.lice@example.com", "alice+two@example.com", ALICE)):
            async with site.browser(f"198.51.100.{number}") as browser:
                await sign_up(browser, email)
                (mail,) = [each for each in await site.post.deliver() if each.to == email]
                await browser.post(mail.path("/verify/"))
                assert await available(site, email) == (Money.from_cents(2_50) if number == 0 else ZERO)
                answer = await browser.post("/settings/delete", data={"email": email})
                assert answer.headers["location"] == "/deleted"
