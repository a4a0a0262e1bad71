"""Moving to another address, and back."""

import asyncio

import httpx
import pytest

from identity.post import Mail
from identity.site import ALICE, PASSWORD, Site

pytestmark = pytest.mark.anyio

NEW = "alice@harbor.example"


async def ask(site: Site, browser: httpx.AsyncClient, email: str = NEW) -> str:
    answer = await browser.post("/settings/email", data={"email": email})
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings?done=email")
    return (await site.post.one(email)).path("/change-address/")


async def move(site: Site, browser: httpx.AsyncClient, email: str = NEW) -> Mail:
    """Move, and return the letter that went to the old address."""
    assert (await browser.post(await ask(site, browser, email))).status_code == 303
    (notice,) = await site.post.deliver()
    return notice


async def test_the_address_changes_when_the_new_one_is_confirmed(site: Site) -> None:
    """Not before; the sessions go on, and the old address is told with a way back."""
    alice = await site.person()
    async with site.signed_in() as laptop, site.signed_in() as phone:
        path = await ask(site, laptop)
        assert f"Waiting for {NEW}" in (await laptop.get("/settings")).text
        assert (await site.find()).id == alice.id
        for _ in range(2):
            assert NEW in (await phone.get(path)).text
        answer = await laptop.post(path)
        assert answer.headers["location"] == "/settings?done=moved"
        notice = await site.post.one(ALICE)
        assert NEW in notice.text
        assert notice.path("/undo-change/")
        page = (await laptop.get("/settings")).text
        assert NEW in page
        assert "Waiting" not in page
        assert (await phone.get("/settings")).status_code == 200
        assert (await laptop.post(path)).status_code == 404
        moved = await site.find(NEW)
        assert (moved.id, moved.verified_at) == (alice.id, alice.verified_at)
        assert (await phone.post("/sign-in", data={"email": ALICE, "password": PASSWORD})).status_code == 401
        assert (await phone.post("/sign-in", data={"email": NEW, "password": PASSWORD})).status_code == 303
    assert await site.query("SELECT name FROM identity_organizations") == [(NEW,)]


async def test_an_address_that_somebody_has_looks_the_same_and_cannot_be_had(site: Site) -> None:
    await site.person()
    await site.person("bob@example.com")
    async with site.signed_in() as browser:
        free = await browser.post("/settings/email", data={"email": NEW})
        taken = await browser.post("/settings/email", data={"email": "BOB@example.com"})
        assert (free.status_code, free.headers) == (taken.status_code, taken.headers)
        first, second = await site.post.deliver()
        assert (first.to, second.to) == (NEW, "bob@example.com")
        assert second.subject == "You have an account at Pouch already"
        assert "Waiting for BOB@example.com" in (await browser.get("/settings")).text


@pytest.mark.parametrize(
    "email", ["", "alice", "\u0430lice@example.com", "p\u0430ypal@example.com", "alice@ex\u0430mple.com", ALICE]
)
async def test_look_alikes_and_what_is_no_other_address_are_refused(site: Site, email: str) -> None:
    await site.person()
    async with site.signed_in() as browser:
        answer = await browser.post("/settings/email", data={"email": email})
    assert answer.status_code == 400
    assert 'id="email-error"' in answer.text
    assert await site.post.deliver() == []


async def test_another_spelling_of_ones_own_address_may_be_taken(site: Site) -> None:
    alice = await site.person()
    async with site.signed_in() as browser:
        await move(site, browser, "Alice@example.com")
    assert (await site.find()).email == "Alice@example.com"
    assert (await site.find()).id == alice.id


async def test_who_registers_the_new_address_first_has_it(site: Site) -> None:
    await site.person()
    async with site.signed_in() as browser:
        path = await ask(site, browser)
        await site.person(NEW)
        assert (await browser.post(path)).status_code == 404
        assert ALICE in (await browser.get("/settings")).text


async def test_a_newer_wish_ends_the_older_one(site: Site) -> None:
    await site.person()
    async with site.signed_in() as browser:
        first = await ask(site, browser)
        second = await ask(site, browser, "alice@port.example")
        assert (await browser.post(first)).status_code == 404
        assert (await browser.post(second)).status_code == 303


async def test_an_unverified_person_with_a_mistyped_address_moves_to_the_right_one(site: Site) -> None:
    """Nothing is told to the address that was never theirs."""
    async with site.browser() as browser:
        await browser.post("/sign-up", data={"email": "alcie@example.com", "password": PASSWORD})
        stale = (await site.post.one("alcie@example.com")).path("/verify/")
        path = await ask(site, browser, ALICE)
        await browser.post(path)
        assert (await site.find()).verified_at is not None
        assert await site.post.deliver() == []
        assert (await browser.post(stale)).status_code == 404


async def test_who_did_not_ask_for_it_takes_the_account_back(site: Site) -> None:
    """Carol got at Alice's open laptop and password: she moved the account, moved it again and made a key."""
    alice = await site.person()
    async with site.signed_in() as owner, site.signed_in(address="198.51.100.66") as carol:
        await site.post.deliver()
        old_key = await owner.post("/keys", data={"name": "Old"})
        assert old_key.status_code == 200
        await site.post.deliver()
        undo = (await move(site, carol, "carol@example.com")).path("/undo-change/")
        await move(site, carol, "carol@harbor.example")
        assert (await carol.post("/keys", data={"name": "Carol's"})).status_code == 200
        carols_reset = await _reset_link(site, "carol@harbor.example")

        async with site.browser() as rescue:
            assert ALICE in (await rescue.get(undo)).text
            answer = await rescue.post(undo)
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/reset/")
            assert (await rescue.post(undo)).status_code == 404
            back = await site.find()
            assert back.id == alice.id
            assert (await carol.get("/settings")).status_code == 303
            assert (await owner.get("/settings")).status_code == 303
            for email in (ALICE, "carol@example.com", "carol@harbor.example"):
                answer = await carol.post("/sign-in", data={"email": email, "password": PASSWORD})
                assert answer.status_code == 401
            assert (await carol.get(carols_reset)).status_code == 404
            answer = await rescue.post(await _reset_link(site, ALICE), data={"password": "back where it belongs"})
            assert answer.status_code == 303
            keys = (await rescue.get("/keys")).text
            assert "Old" in keys
            assert "Carol" not in keys
    assert await site.query("SELECT count(*) FROM identity_links WHERE ended_at IS NULL AND kind = 'undo'") == [(0,)]


async def _reset_link(site: Site, email: str) -> str:
    await site.post.deliver()
    async with site.browser("203.0.113.5") as browser:
        await browser.post("/reset", data={"email": email})
    return (await site.post.one(email)).path("/reset/")


async def test_the_page_after_taking_it_back_chooses_the_password(site: Site) -> None:
    await site.person()
    async with site.signed_in() as browser:
        undo = (await move(site, browser)).path("/undo-change/")
        answer = await browser.post(undo)
        assert not browser.cookies
        chosen = await browser.post(answer.headers["location"], data={"password": "a whole new password"})
        assert chosen.status_code == 303
        assert ALICE in (await browser.get("/settings")).text


async def test_for_three_days_nobody_else_can_have_the_old_address(site: Site) -> None:
    await site.person()
    async with site.signed_in() as browser:
        undo = (await move(site, browser)).path("/undo-change/")
        answer = await browser.post("/settings/delete", data={"email": NEW})
        assert answer.status_code == 409
        assert "was changed in the last three days" in answer.text
    async with site.browser("198.51.100.66") as carol:
        await carol.post("/sign-up", data={"email": ALICE, "password": "carol's password"})
        (mail,) = await site.post.deliver()
        assert mail.subject == "You have an account at Pouch already"
        moved = "expires_at = expires_at - interval '73 hours', created_at = created_at - interval '73 hours'"
        await site.query(f"UPDATE identity_links SET {moved} WHERE kind = 'undo'")
        await carol.post("/verify", data={})
        path = (await site.post.one(ALICE)).path("/verify/")
        assert (await carol.post(path)).status_code == 303
        assert (await carol.get(undo)).status_code == 404


async def test_of_two_presses_at_once_one_moves(site: Site) -> None:
    await site.person()
    async with site.signed_in() as browser:
        path = await ask(site, browser)
        answers = await asyncio.gather(*(browser.post(path) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [303] + 4 * [404]
        assert len(await site.post.deliver()) == 1
