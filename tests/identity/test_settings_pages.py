"""Sessions, the export, the end of an account, and the password asked again before these."""

import re

import httpx
import pytest

from identity.site import ALICE, CHROME, PASSWORD, OpenSite, Site
from pouch.base.database import Connection
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.identity.export import Json
from pouch.identity.organizations import add_member, add_organization
from pouch.identity.types import OrganizationId
from pouch.ledger.accounts import balance
from pouch.ledger.blocks import is_blocked
from pouch.ledger.check import check_now
from pouch.ledger.grants import grant
from pouch.ledger.operations import Hold
from pouch.ledger.posting import post

pytestmark = pytest.mark.anyio

LONG_AGO = "UPDATE identity_sessions SET confirmed_at = now() - interval '16 minutes'"


def end_paths(page: httpx.Response) -> list[str]:
    return re.findall(r'action="(/settings/sessions/ses_[0-9a-v]+/end)"', page.text)


async def give(site: Site, email: str, cents: int) -> None:
    person = await site.find(email)
    async with site.database.transaction() as db:
        await grant(db, person.organization_id, Money.from_cents(cents), key=str(new_id()), note="A gift")


@pytest.mark.parametrize(
    "path",
    ["/settings", "/settings/email", "/settings/password", "/settings/export", "/settings/delete", "/confirm-password"],
)
async def test_strangers_see_nothing_of_it(site: Site, path: str) -> None:
    async with site.browser() as browser:
        answer = await browser.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in")
        if path != "/settings/export":
            assert (await browser.post(path, data={})).status_code in {303, 405}


async def test_the_list_shows_every_browser_and_marks_this_one(site: Site) -> None:
    await site.person()
    async with site.signed_in() as laptop, site.browser("198.51.100.1", CHROME) as phone:
        await phone.post("/sign-in", data={"email": ALICE, "password": PASSWORD})
        page = await laptop.get("/settings")
        assert "Firefox on Linux" in page.text
        assert "Chrome on Windows" in page.text
        assert "198.51.100.1" in page.text
        assert page.text.count("This one") == 1
        (path,) = end_paths(page)
        answer = await laptop.post(path)
        assert answer.headers["location"] == "/settings?done=session"
        assert (await phone.get("/settings")).status_code == 303
        assert end_paths(await laptop.get("/settings")) == []


async def test_all_others_are_signed_out_at_once(site: Site) -> None:
    await site.person()
    async with site.signed_in() as one, site.signed_in() as two, site.signed_in() as three:
        await one.post("/settings/sessions/end-others")
        assert (await one.get("/settings")).status_code == 200
        assert (await two.get("/settings")).status_code == 303
        assert (await three.get("/settings")).status_code == 303


async def test_carol_cannot_end_alices_session(site: Site) -> None:
    await site.person()
    await site.person("carol@example.com")
    async with site.signed_in() as alice, site.signed_in() as other, site.signed_in("carol@example.com") as carol:
        (path,) = end_paths(await alice.get("/settings"))
        await carol.post(path)
        await carol.post("/settings/sessions/end-others")
        assert (await alice.get("/settings")).status_code == 200
        assert (await other.get("/settings")).status_code == 200
        assert (await carol.post("/settings/sessions/nonsense/end")).status_code == 404


@pytest.mark.parametrize("path", ["/settings/email", "/settings/export", "/settings/delete"])
async def test_what_is_hard_to_undo_asks_for_the_password_again_and_goes_on(site: Site, path: str) -> None:
    """After a quarter of an hour; a wrong password keeps the way back, the right one gives a new secret."""
    await site.person()
    async with site.signed_in() as browser:
        assert (await browser.get(path)).status_code == 200
        await site.query(LONG_AGO)
        for answer in (await browser.get(path), await browser.post(path, data={"email": "carol@example.com"})):
            if answer.status_code != 405:
                assert answer.headers["location"] == f"/confirm-password?next={path.replace('/', '%2F')}"
        page = await browser.get("/confirm-password", params={"next": path})
        assert f'name="next" value="{path}"' in page.text
        wrong = await browser.post("/confirm-password", data={"password": "wrong password", "next": path})
        assert wrong.status_code == 401
        assert f'name="next" value="{path}"' in wrong.text
        before = browser.cookies["pouch"]
        answer = await browser.post("/confirm-password", data={"password": PASSWORD, "next": path})
        assert (answer.status_code, answer.headers["location"]) == (303, path)
        assert browser.cookies["pouch"] != before
        assert (await browser.get(path)).status_code == 200
        async with site.browser() as thief:
            thief.cookies.set("pouch", before)
            assert (await thief.get("/settings")).status_code == 303
    assert await site.post.deliver() == []


async def test_one_is_never_sent_to_another_site_from_there(site: Site) -> None:
    await site.person()
    async with site.signed_in() as browser:
        form = {"password": PASSWORD, "next": "https://evil.example"}
        assert (await browser.post("/confirm-password", data=form)).headers["location"] == "/"


async def test_the_export_holds_everything_and_no_secret(open_site: OpenSite) -> None:
    asked: list[OrganizationId] = []

    async def purchases(_db: Connection, organization_id: OrganizationId) -> Json:
        asked.append(organization_id)
        return [{"amount_usd": "10.00"}]

    async with open_site(exporters={"purchases": purchases}) as site:
        alice = await site.person()
        await site.person("carol@example.com")
        async with site.signed_in() as browser, site.signed_in("carol@example.com") as carol:
            secret = (await browser.post("/keys", data={"name": "Laptop", "limit": "5"})).text
            await carol.post("/keys", data={"name": "Carol's key"})
            answer = await browser.get("/settings/export")
        assert answer.headers["content-disposition"] == 'attachment; filename="pouch-data.json"'
        assert answer.headers["cache-control"] == "no-store"
        data = answer.json()
        assert data["person"]["email"] == ALICE
        assert data["organizations"][0]["role"] == "owner"
        assert data["keys"][0]["name"] == "Laptop"
        assert data["keys"][0]["limit_usd"] == "5.000000000"
        assert data["purchases"] == [{"amount_usd": "10.00"}]
        assert asked == [alice.organization_id]
        assert "argon2" not in answer.text
        assert "carol" not in answer.text.casefold()
        key = secret.partition('value="sk-pouch-')[2].partition('"')[0]
        assert key not in answer.text


async def test_a_deleted_account_is_gone_and_the_books_are_not(site: Site) -> None:
    """Sessions, keys, name and address end; the credits stay on the account of nobody; a good-bye is mailed."""
    alice = await site.person()
    await give(site, ALICE, 8_11)
    async with site.signed_in() as laptop, site.signed_in() as phone:
        secret = (await laptop.post("/keys", data={"name": "Alice's laptop"})).text
        key = "sk-pouch-" + secret.partition('value="sk-pouch-')[2].partition('"')[0]
        caller = await site.keys.caller(key)
        assert caller is not None
        await site.post.deliver()
        page = await laptop.get("/settings/delete")
        assert "You have $8.11 of credits left" in page.text
        assert "nobody can use them afterwards" in page.text
        wrong = await laptop.post("/settings/delete", data={"email": "carol@example.com"})
        assert wrong.status_code == 400
        assert 'id="email-error"' in wrong.text
        answer = await laptop.post("/settings/delete", data={"email": " Alice@example.com "})
        assert (answer.status_code, answer.headers["location"]) == (303, "/deleted")
        assert not laptop.cookies
        assert "Your account is deleted" in (await laptop.get("/deleted")).text
        assert (await phone.get("/settings")).status_code == 303
        assert (await phone.post("/sign-in", data={"email": ALICE, "password": PASSWORD})).status_code == 401
        mail = await site.post.one(ALICE)
        assert mail.subject == "Your account at Pouch is deleted"
    await site.keys.tick()
    assert await site.keys.caller(key) is None
    async with site.database.transaction() as db:
        assert await is_blocked(db, alice.id)
        assert await is_blocked(db, caller.key_id)
        assert (await balance(db, alice.organization_id)).posted == Money.from_cents(8_11)
    async with site.database.transaction() as db:
        assert await check_now(db) == []
    tables = ("people", "organizations", "memberships", "sessions", "keys", "links", "places")
    for table in tables:
        assert "alice" not in str(await site.query(f"SELECT t::text FROM identity_{table} t")).casefold()
    # What was mailed before is forgotten, too; only the good-bye still knows where it went.
    assert await site.query("SELECT kind FROM mail_letters WHERE to_address = 'alice@example.com'") == [
        ("account_deleted",)
    ]


async def test_the_address_is_free_again(site: Site) -> None:
    before = await site.person()
    async with site.signed_in() as browser:
        await browser.post("/settings/delete", data={"email": ALICE})
    after = await site.person()
    assert after.id != before.id
    async with site.signed_in() as browser:
        assert "No keys yet" in (await browser.get("/keys")).text


async def refusal(site: Site, browser: httpx.AsyncClient) -> str:
    """What the page says, and that posting all the same changes nothing."""
    page = await browser.get("/settings/delete")
    assert "Delete my account" not in page.text
    answer = await browser.post("/settings/delete", data={"email": ALICE})
    assert answer.status_code == 409
    assert (await browser.get("/settings")).status_code == 200
    assert (await site.find()).email == ALICE
    async with site.database.transaction() as db:
        assert not await is_blocked(db, (await site.find()).id)
    return answer.text


async def test_calls_under_way_keep_the_account(site: Site) -> None:
    alice = await site.person()
    await give(site, ALICE, 8_11)
    async with site.database.transaction() as db:
        await post(db, [Hold(new_id(), alice.organization_id, 1_000)])
    async with site.signed_in() as browser:
        assert "Calls are under way" in await refusal(site, browser)


async def test_the_only_operator_stays(site: Site) -> None:
    await site.person(operator=True)
    async with site.signed_in() as browser:
        assert "You are the only operator" in await refusal(site, browser)
        await site.person("bob@example.com", operator=True)
        assert (await browser.post("/settings/delete", data={"email": ALICE})).status_code == 303


async def test_the_only_owner_of_a_shared_organization_stays(site: Site) -> None:
    alice, bob = await site.person(), await site.person("bob@example.com")
    async with site.database.transaction() as db:
        harbor = await add_organization(db, "Harbor", alice)
    async with site.signed_in() as browser:
        assert "You are the only owner of Harbor" in await refusal(site, browser)
        async with site.database.transaction() as db:
            await add_member(db, harbor, bob, "owner")
        assert (await browser.post("/settings/delete", data={"email": ALICE})).status_code == 303


async def test_other_rooms_may_object(open_site: OpenSite) -> None:
    async def payment(_db: Connection, _organization_id: OrganizationId) -> str | None:
        return "A payment is being confirmed."

    async with open_site(obstacles=[payment]) as site:
        await site.person()
        async with site.signed_in() as browser:
            assert "A payment is being confirmed." in await refusal(site, browser)


async def test_another_site_can_change_nothing_here(site: Site) -> None:
    await site.person()
    foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    async with site.signed_in() as browser:
        for path in ("/settings/delete", "/settings/email", "/settings/password", "/settings/sessions/end-others"):
            answer = await browser.post(path, data={"email": ALICE}, headers=foreign)
            assert answer.status_code == 403
        assert (await browser.get("/settings")).status_code == 200
