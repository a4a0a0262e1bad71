"""Signing up, in and out, as browsers do it."""

import re
from html import unescape

import pytest

from identity.site import ALICE, PASSWORD, CountingPasswords, OpenSite, Site
from pouch.identity.errors import WrongPassword
from pouch.identity.first import first_link
from pouch.identity.passwords import Cost
from pouch.identity.people import add_person, find_person
from pouch.identity.throttles import SIGN_IN_PER_ADDRESS, SIGN_IN_PER_CLIENT, SIGN_UP_PER_CLIENT

pytestmark = pytest.mark.anyio

WRONG = str(WrongPassword())
FORM = {"email": ALICE, "password": PASSWORD}


def words(html: str) -> str:
    return unescape(re.sub(r"\s+", " ", html))


async def register(site: Site, email: str = ALICE) -> None:
    async with site.database.transaction() as db:
        await add_person(db, email, await CountingPasswords().hash(PASSWORD), verified=True)


async def test_a_stranger_signs_up_out_and_in_again(site: Site) -> None:
    """Unverified all the while: they may look around."""
    async with site.browser() as browser:
        answer = await browser.post("/sign-up", data=FORM | {"next": "/keys"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/verify?next=%2Fkeys")
        assert 'href="/keys"' in (await browser.get(answer.headers["location"])).text
        assert ALICE in (await browser.get("/keys")).text

        answer = await browser.post("/sign-out")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert (await browser.get("/keys")).headers["location"] == "/sign-in?next=%2Fkeys"

        page = await browser.get("/sign-in?next=%2Fkeys")
        assert 'name="next" value="/keys"' in page.text
        answer = await browser.post("/sign-in", data=FORM | {"next": "/keys"})
        assert answer.headers["location"] == "/keys"
        assert (await browser.get("/keys")).status_code == 200

    alice = await site.find()
    assert alice.verified_at is None
    assert not alice.is_operator


async def test_the_labels_are_those_that_scripts_and_people_look_for(site: Site) -> None:
    async with site.browser() as browser:
        for path in ("/sign-in", "/sign-up"):
            page = (await browser.get(path)).text
            assert '<label class="field__label" for="email">E-mail</label>' in page
            assert '<label class="field__label" for="password">Password</label>' in page


async def test_a_mistake_comes_back_with_what_was_typed_but_the_password(site: Site) -> None:
    async with site.browser() as browser:
        answer = await browser.post("/sign-up", data={"email": ALICE, "password": "2short", "next": "/keys"})
    assert answer.status_code == 400
    assert "Use at least 10 characters." in answer.text
    assert f'value="{ALICE}"' in answer.text
    assert 'name="next" value="/keys"' in answer.text
    assert "2short" not in answer.text


@pytest.mark.parametrize("email", ["", "alice", "\u0430lice@example.com", "<script>@x", '"><b>@example.com'])
async def test_what_is_no_address_is_refused_at_its_field(site: Site, email: str) -> None:
    async with site.browser() as browser:
        answer = await browser.post("/sign-up", data={"email": email, "password": PASSWORD})
    assert answer.status_code == 400
    assert 'id="email-error"' in answer.text
    assert "<script>@" not in answer.text
    assert '"><b>' not in answer.text


async def test_an_unknown_address_and_a_wrong_password_are_one_answer_and_one_work(site: Site) -> None:
    await register(site)
    async with site.browser() as browser:
        unknown = await browser.post("/sign-in", data={"email": "carol@example.com", "password": PASSWORD})
        after_unknown = site.passwords.compared
        wrong = await browser.post("/sign-in", data={"email": ALICE, "password": "wrong password"})
    assert unknown.status_code == wrong.status_code == 401
    assert WRONG in words(unknown.text)
    assert unknown.text.replace("carol@example.com", ALICE) == wrong.text
    assert after_unknown == site.passwords.compared - after_unknown == 2
    assert site.passwords.hashed == 0


async def test_a_person_without_a_password_cannot_sign_in_with_one(site: Site) -> None:
    async with site.database.transaction() as db:
        await add_person(db, ALICE, None, verified=True)
    async with site.browser() as browser:
        for password in ("", PASSWORD):
            answer = await browser.post("/sign-in", data={"email": ALICE, "password": password})
            assert answer.status_code == 401
    assert site.passwords.compared == 4


async def test_each_sign_in_is_a_new_session_and_the_old_one_ends(site: Site) -> None:
    """A secret that somebody knew before the sign-in opens nothing afterwards."""
    await register(site)
    async with site.browser() as browser:
        await browser.post("/sign-in", data=FORM)
        before = browser.cookies["pouch"]
        await browser.post("/sign-in", data=FORM)
        after = browser.cookies["pouch"]
        assert after != before
        assert (await browser.get("/keys")).status_code == 200
    async with site.browser() as thief:
        thief.cookies.set("pouch", before)
        assert (await thief.get("/keys")).status_code == 303


async def test_a_cookie_that_came_from_elsewhere_is_not_taken_over(site: Site) -> None:
    await register(site)
    async with site.browser() as browser:
        browser.cookies.set("pouch", "planted", domain="127.0.0.1", path="/")
        await browser.post("/sign-in", data=FORM)
        assert browser.cookies["pouch"] != "planted"


@pytest.mark.parametrize(
    ("url", "name", "secure"),
    [("http://127.0.0.1:8080", "pouch", False), ("https://pouch.example", "__Host-pouch", True)],
)
async def test_the_cookie_is_as_strict_as_the_address_allows(
    open_site: OpenSite, url: str, name: str, secure: bool
) -> None:
    async with open_site(url=url) as site, site.browser() as browser:
        cookie = (await browser.post("/sign-up", data=FORM)).headers["set-cookie"]
    assert cookie.startswith(f"{name}=")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie
    assert ("Secure" in cookie) is secure


async def test_a_hash_of_an_older_cost_is_renewed_at_sign_in(site: Site) -> None:
    async with site.database.transaction() as db:
        old = await CountingPasswords(Cost(memory_kib=16, passes=1, lanes=1)).hash(PASSWORD)
        await add_person(db, ALICE, old, verified=True)
    async with site.browser() as browser:
        for _ in range(2):
            assert (await browser.post("/sign-in", data=FORM)).status_code == 303
    assert site.passwords.hashed == 1
    async with site.database.transaction() as db:
        rows = await db.execute("SELECT password_hash FROM identity_people")
        row = await rows.fetchone()
    assert row
    assert row[0] != old


@pytest.mark.parametrize(
    "goal", ["https://evil.example", "//evil.example", "/\\evil.example", "/\t/evil.example", "keys"]
)
async def test_one_is_never_sent_to_another_site(site: Site, goal: str) -> None:
    await register(site)
    async with site.browser() as browser:
        answer = await browser.post("/sign-in", data=FORM | {"next": goal})
        assert answer.headers["location"] == "/"
        answer = await browser.get("/sign-in", params={"next": goal})
        assert answer.headers["location"] == "/"


async def test_who_is_signed_in_does_not_see_the_forms(site: Site) -> None:
    async with site.browser() as browser:
        await browser.post("/sign-up", data=FORM)
        for path in ("/sign-in?next=/keys", "/sign-up?next=/keys"):
            answer = await browser.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, "/keys")


async def test_twenty_wrong_passwords_for_an_address_close_it_for_a_while(site: Site) -> None:
    """From many clients, and in many spellings; Bob signs in all the while."""
    await register(site)
    await register(site, "bob@example.com")
    for number in range(SIGN_IN_PER_ADDRESS.count_max):
        async with site.browser(f"192.0.2.{number}") as browser:
            email = ALICE.upper() if number % 2 else ALICE
            assert (await browser.post("/sign-in", data={"email": email, "password": "wrong"})).status_code == 401
    async with site.browser("198.51.100.7") as browser:
        site.clock.now += 60
        answer = await browser.post("/sign-in", data=FORM)
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == str(SIGN_IN_PER_ADDRESS.window_s - 60)
        assert "Try again in 14 minutes." in answer.text
        assert f'value="{ALICE}"' in answer.text
        assert (await browser.post("/sign-in", data=FORM | {"email": "bob@example.com"})).status_code == 303
    async with site.browser("198.51.100.8") as browser:
        site.clock.now += SIGN_IN_PER_ADDRESS.window_s - 60
        assert (await browser.post("/sign-in", data=FORM)).status_code == 303


async def test_one_client_cannot_try_many_addresses(site: Site) -> None:
    await register(site)
    async with site.browser() as browser:
        for number in range(SIGN_IN_PER_CLIENT.count_max):
            form = {"email": f"person{number}@example.com", "password": "wrong"}
            assert (await browser.post("/sign-in", data=form)).status_code == 401
        assert (await browser.post("/sign-in", data=FORM)).status_code == 429
    async with site.browser("192.0.2.2") as browser:
        assert (await browser.post("/sign-in", data=FORM)).status_code == 303


async def test_signing_in_correctly_is_never_throttled(site: Site) -> None:
    await register(site)
    async with site.browser() as browser:
        for _ in range(SIGN_IN_PER_ADDRESS.count_max + 5):
            assert (await browser.post("/sign-in", data=FORM)).status_code == 303


async def test_one_client_cannot_sign_up_without_end(site: Site) -> None:
    async with site.browser() as browser:
        for number in range(SIGN_UP_PER_CLIENT.count_max):
            await browser.post("/sign-up", data=FORM | {"email": f"person{number}@example.com"})
            browser.cookies.clear()
        answer = await browser.post("/sign-up", data=FORM)
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == str(SIGN_UP_PER_CLIENT.window_s)
        site.clock.now += SIGN_UP_PER_CLIENT.window_s
        assert (await browser.post("/sign-up", data=FORM)).status_code == 303


@pytest.mark.parametrize("mode", ["invite", "closed"])
async def test_strangers_cannot_sign_up_where_the_operator_does_not_want_them(open_site: OpenSite, mode: str) -> None:
    async with open_site(f'[accounts]\nsign_up = "{mode}"\n') as site, site.browser() as browser:
        for answer in (await browser.get("/sign-up"), await browser.post("/sign-up", data=FORM)):
            assert answer.status_code == 403
            assert "Ask the operator" in answer.text
        assert site.passwords.hashed == 0
        async with site.database.transaction() as db:
            assert await find_person(db, ALICE) is None
            token = await first_link(db)
        answer = await browser.post(f"/first/{token}", data=FORM)
        assert answer.status_code == 303


async def test_the_first_link_shows_a_form_once(site: Site) -> None:
    async with site.database.transaction() as db:
        token = await first_link(db)
    async with site.browser() as browser:
        for _ in range(2):  # looking does not use it up
            assert "E-mail" in (await browser.get(f"/first/{token}")).text
        answer = await browser.post(f"/first/{token}", data=FORM | {"password": "short"})
        assert answer.status_code == 400  # nor does a mistake
        answer = await browser.post(f"/first/{token}", data=FORM)
        assert answer.status_code == 303
        assert ALICE in (await browser.get("/keys")).text
        for answer in (
            await browser.get(f"/first/{token}"),
            await browser.post(f"/first/{token}", data=FORM | {"email": "carol@example.com"}),
            await browser.get("/first/guess"),
        ):
            assert answer.status_code == 404
            assert "This link has ended" in answer.text


async def test_another_site_cannot_sign_anybody_in_or_out(site: Site) -> None:
    await register(site)
    async with site.browser() as browser:
        await browser.post("/sign-in", data=FORM)
        for path in ("/sign-in", "/sign-out"):
            foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
            assert (await browser.post(path, data=FORM, headers=foreign)).status_code == 403
        assert (await browser.get("/keys")).status_code == 200


async def test_a_form_that_is_none_is_refused(site: Site) -> None:
    async with site.browser() as browser:
        assert (await browser.post("/sign-in", json=FORM)).status_code == 400
        assert (await browser.post("/sign-in", data={"email": "a\x00", "password": "b"})).status_code == 400
        assert (await browser.post("/sign-in", data={"email": ""})).status_code == 401
