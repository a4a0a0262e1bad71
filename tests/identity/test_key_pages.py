"""The Keys page, as a browser sees it."""

import re
from html import unescape

import httpx
import pytest

from identity.site import ALICE, PASSWORD, Site
from pouch.base.money import Money
from pouch.identity.keys import PREFIX, find_caller
from pouch.ledger.blocks import is_blocked
from pouch.ledger.limits import limits_of

pytestmark = pytest.mark.anyio


async def signed_up(browser: httpx.AsyncClient, site: Site, email: str = ALICE) -> None:
    await site.person(email)
    answer = await browser.post("/sign-in", data={"email": email, "password": PASSWORD})
    assert answer.status_code == 303


async def make_key(browser: httpx.AsyncClient, name: str = "Laptop", limit: str = "") -> str:
    page = await browser.get("/keys")
    attempt = re.findall(r'name="attempt" value="([^"]+)"', page.text)[0]
    made = await browser.post("/keys", data={"name": name, "limit": limit, "attempt": attempt})
    assert made.status_code == 200, made.text
    return secret_on(made)


def secret_on(page: httpx.Response) -> str:
    found = re.search(rf'value="({PREFIX}[0-9A-Za-z]+)"', page.text)
    assert found is not None
    return found[1]


def revoke_path(page: httpx.Response) -> str:
    return str(re.findall(r'href="(/keys/key_[0-9a-v]+/revoke)"', page.text)[0])


async def test_strangers_are_led_to_the_sign_in_page_and_back(site: Site) -> None:
    async with site.browser() as browser:
        answer = await browser.get("/keys")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Fkeys")
        assert (await browser.post("/keys", data={"name": "Laptop"})).status_code == 303


async def test_the_secret_is_shown_once_with_a_line_that_works(site: Site) -> None:
    async with site.browser() as browser:
        await signed_up(browser, site)
        assert "No keys yet" in (await browser.get("/keys")).text
        made = await browser.post("/keys", data={"name": "My <laptop>", "limit": "", "attempt": "1"})
        secret = secret_on(made)
        assert made.headers["cache-control"] == "no-store"
        assert f"curl {site.url}/v1/chat/completions" in made.text
        assert f"Authorization: Bearer {secret}" in unescape(made.text)
        assert '"model": "pouch/paid"' in unescape(made.text)
        page = await browser.get("/keys")
    assert secret not in page.text
    assert f"sk-pouch-…{secret[-4:]}" in page.text
    assert "My &lt;laptop&gt;" in page.text
    caller = await site.keys.caller(secret)
    assert caller is not None
    assert caller.scopes == {"inference"}


async def test_a_limit_is_taken_in_dollars(site: Site) -> None:
    async with site.browser() as browser:
        await signed_up(browser, site)
        secret = await make_key(browser, limit="$12.50")
        assert "$12.50" in (await browser.get("/keys")).text
    async with site.database.transaction() as db:
        caller = await find_caller(db, secret)
        assert caller is not None
        (limit,) = (await limits_of(db, [caller.key_id]))[caller.key_id]
    assert (limit.kind, limit.period, limit.cap) == ("key", "ever", Money.from_cents(12_50))


async def test_a_key_may_have_a_limit_of_a_day_an_end_and_other_rights(site: Site) -> None:
    async with site.browser() as browser:
        await signed_up(browser, site)
        page = await browser.get("/keys")
        assert '<option value="week">' in page.text
        form = {"name": "Build", "limit": "2", "period": "day", "expires": "7", "may keys": "on", "attempt": "1"}
        made = await browser.post("/keys", data=form)
        assert "It may spend $2.00, a day." in made.text
        secret = secret_on(made)
        listed = (await browser.get("/keys")).text
        assert "$2.00 a day" in listed
        assert "Ends " in listed
    async with site.database.transaction() as db:
        caller = await find_caller(db, secret)
        assert caller is not None
        assert caller.scopes == {"keys"}
        assert caller.expires_at is not None
        (limit,) = (await limits_of(db, [caller.key_id]))[caller.key_id]
        assert limit.period == "day"
        await db.execute("UPDATE identity_keys SET expires_at = now()")
        assert await find_caller(db, secret) is None


@pytest.mark.parametrize("form", [{"period": "hour"}, {"expires": "8"}, {"expires": "x"}])
async def test_a_period_or_end_that_is_not_offered_is_refused(site: Site, form: dict[str, str]) -> None:
    async with site.browser() as browser:
        await signed_up(browser, site)
        assert (await browser.post("/keys", data={"name": "Build"} | form)).status_code == 400


@pytest.mark.parametrize(
    "limit", ["-1", "0", "1e3", "NaN", "1,50", "\u0661\u0662", "99999999999", "0.0000000001", "five"]
)
async def test_a_limit_that_is_no_amount_is_refused_at_its_field(site: Site, limit: str) -> None:
    async with site.browser() as browser:
        await signed_up(browser, site)
        answer = await browser.post("/keys", data={"name": "Laptop", "limit": limit})
        assert answer.status_code == 400
        assert 'class="field__error" id="limit-hint"' in answer.text
        assert 'value="Laptop"' in answer.text
        assert "No keys yet" in (await browser.get("/keys")).text


async def test_a_name_is_needed(site: Site) -> None:
    async with site.browser() as browser:
        await signed_up(browser, site)
        answer = await browser.post("/keys", data={"name": " ", "limit": "5"})
    assert answer.status_code == 400
    assert 'id="name-error"' in answer.text
    assert 'value="5"' in answer.text


async def test_the_same_form_sent_again_makes_no_second_key(site: Site) -> None:
    """A reload of the page with the secret."""
    async with site.browser() as browser:
        await signed_up(browser, site)
        form = {"name": "Laptop", "limit": "", "attempt": "7"}
        assert (await browser.post("/keys", data=form)).status_code == 200
        again = await browser.post("/keys", data=form)
        assert again.status_code == 409
        assert "shown only once" in again.text
        assert (await browser.get("/keys")).text.count("data-dialog") == 1
    async with site.browser() as other:
        await signed_up(other, site, "bob@example.com")
        assert (await other.post("/keys", data=form)).status_code == 200


async def test_a_revoked_key_stops_working_at_once(site: Site) -> None:
    async with site.browser() as browser:
        await signed_up(browser, site)
        secret = await make_key(browser)
        caller = await site.keys.caller(secret)
        assert caller is not None
        path = revoke_path(await browser.get("/keys"))
        asked = await browser.get(path)
        assert "This cannot be undone." in asked.text
        assert await site.keys.caller(secret) is not None  # asking revokes nothing
        for _ in range(2):
            answer = await browser.post(path)
            assert (answer.status_code, answer.headers["location"]) == (303, "/keys")
        assert await site.keys.caller(secret) is None
        assert "No keys yet" in (await browser.get("/keys")).text
        assert (await browser.get(path)).status_code == 303
    async with site.database.transaction() as db:
        assert await is_blocked(db, caller.key_id)


async def test_carol_cannot_revoke_alices_key(site: Site) -> None:
    async with site.browser() as alice, site.browser() as carol:
        await signed_up(alice, site)
        await signed_up(carol, site, "carol@example.com")
        secret = await make_key(alice)
        path = revoke_path(await alice.get("/keys"))
        assert (await carol.get(path)).status_code == 404
        assert (await carol.post(path)).status_code == 404
        assert secret[-4:] not in (await carol.get("/keys")).text
    assert await site.keys.caller(secret) is not None


@pytest.mark.parametrize(
    "key", ["nonsense", "org_00000000000000000000000000", "key_00000000000000000000000000", "key_%00"]
)
async def test_a_key_that_does_not_exist_is_not_found(site: Site, key: str) -> None:
    async with site.browser() as browser:
        await signed_up(browser, site)
        assert (await browser.post(f"/keys/{key}/revoke")).status_code == 404
