"""Signing up where anybody may, where only guests may, and with an address that somebody has."""

import asyncio
import re
from datetime import UTC, datetime

import httpx
import pytest

from identity.site import ALICE, PASSWORD, OpenSite, Site
from pouch.base.errors import Conflict
from pouch.identity.addresses import read_address
from pouch.identity.links import Tokens
from pouch.identity.registration import invite
from pouch.settings import SettingsError

pytestmark = pytest.mark.anyio

CAROLS = "carol's password"


async def sign_up(browser: httpx.AsyncClient, email: str, password: str = CAROLS) -> httpx.Response:
    return await browser.post("/sign-up", data={"email": email, "password": password})


def seen(answer: httpx.Response) -> tuple[object, ...]:
    """All that tells two answers apart, but for the secret of the session."""
    cookie = re.sub(r"=[^;]{40,}", "=…", answer.headers.get("set-cookie", ""))
    headers = sorted((name, value) for name, value in answer.headers.items() if name not in {"set-cookie", "date"})
    return answer.status_code, cookie, headers, answer.text


async def test_signing_up_with_an_address_that_somebody_has_looks_like_any_other(site: Site) -> None:
    """Carol tries Alice's address and a free one: answers, pages, work and later sign-ins are the same."""
    await site.person()
    told: list[list[object]] = []
    for email, address in (("Alice@example.com", "192.0.2.1"), ("erica@example.com", "192.0.2.2")):
        async with site.browser(address) as carol:
            before = site.passwords.hashed, site.passwords.compared
            story: list[object] = [seen(await sign_up(carol, email))]
            story += [seen(await carol.get(path)) for path in ("/verify", "/keys", "/settings", "/settings/email")]
            story.append(seen(await carol.post("/verify", data={})))
            story.append(seen(await carol.post("/keys", data={"name": "Laptop"})))
            await carol.post("/sign-out")
            story.append(seen(await carol.post("/sign-in", data={"email": email, "password": CAROLS})))
            story.append(seen(await carol.post("/sign-in", data={"email": email, "password": PASSWORD[::-1]})))
            story.append((site.passwords.hashed - before[0], site.passwords.compared - before[1]))
        sessions, minute = r"ses_[0-9a-v]{26}", r"\d+ \w{3} \d{4}, \d\d:\d\d|\d{4}-\d\d-\d\dT[0-9:.+]+"
        text = re.sub(minute, "now", re.sub(sessions, "ses", repr(story)))
        for spelling in ("Alice@example.com", "erica@example.com"):
            text = text.replace(spelling, "somebody")
        told.append([text.replace(">ER<", ">..<").replace(">AL<", ">..<").replace(address, "here")])
    assert re.sub(r">[A-Z]<", ">.<", str(told[0])) == re.sub(r">[A-Z]<", ">.<", str(told[1]))


async def test_the_owner_of_a_taken_address_is_told_once_a_day_and_keeps_everything(site: Site) -> None:
    alice = await site.person()
    async with site.browser("198.51.100.66") as carol:
        await sign_up(carol, "ALICE@example.com")
        await carol.post("/verify", data={})
        mail = await site.post.one(ALICE)
        assert mail.subject == "You have an account at Pouch already"
        assert "/sign-in" in mail.text
        assert "/verify" not in mail.text
        assert await site.find() == alice

        # Carol's link was made, for the same work, and not even the owner of the mailbox could use it.
        ((link_id,),) = await site.query("SELECT id FROM identity_links WHERE kind = 'verify' LIMIT 1")
        path = Tokens(site.settings.secret_keys, site.url).path("verify", link_id)  # type: ignore[arg-type]  # a uuid
        assert (await carol.post(path)).status_code == 404
    async with site.signed_in():
        pass


async def test_alice_signs_up_although_carol_typed_her_address_first(site: Site) -> None:
    """Carol cannot keep the address from her, and the account that Carol made stays without it."""
    async with site.browser("198.51.100.66") as carol, site.browser() as alice:
        await sign_up(carol, ALICE)
        await sign_up(alice, ALICE, PASSWORD)
        carols, hers = [mail.path("/verify/") for mail in await site.post.deliver()]
        await alice.post(hers)
        assert (await carol.post(carols)).status_code == 404
        assert (await carol.post("/keys", data={"name": "Laptop"})).status_code == 403
        answer = await carol.post("/sign-in", data={"email": ALICE, "password": PASSWORD})
        assert answer.status_code == 303
        assert "Your address is confirmed" in (await carol.get("/verify")).text


async def test_of_two_who_prove_one_address_at_once_one_has_it(site: Site) -> None:
    async with site.browser() as one, site.browser("192.0.2.2") as two:
        await sign_up(one, ALICE)
        await sign_up(two, ALICE)
        paths = [mail.path("/verify/") for mail in await site.post.deliver()]
        answers = await asyncio.gather(one.post(paths[0]), two.post(paths[1]))
        assert sorted(answer.status_code for answer in answers) == [303, 404]
    assert await site.query("SELECT count(*) FROM identity_people WHERE verified_at IS NOT NULL") == [(1,)]


async def test_only_the_operators_domains_are_let_in(open_site: OpenSite) -> None:
    async with open_site('[accounts]\nallowed_domains = ["Harbor.example", "@Bücher.example"]\n') as site:
        async with site.browser() as browser:
            answer = await sign_up(browser, "alice@mail.harbor.example")
            assert answer.status_code == 400
            assert "Only addresses at harbor.example or xn--bcher-kva.example" in answer.text
            assert 'id="email-error"' in answer.text
            assert (await sign_up(browser, "alice@HARBOR.example")).status_code == 303
            assert (await browser.post("/settings/email", data={"email": "alice@example.com"})).status_code == 400
        async with site.browser() as browser:
            assert (await sign_up(browser, "alice@bücher.example")).status_code == 303


async def invited(site: Site, email: str = ALICE) -> str:
    async with site.database.transaction() as db:
        await invite(db, read_address(email))
    return (await site.post.one(email)).path("/invitation/")


@pytest.mark.parametrize("mode", ["invite", "open"])
async def test_a_guest_registers_verified_with_their_link(open_site: OpenSite, mode: str) -> None:
    async with open_site(f'[accounts]\nsign_up = "{mode}"\n') as site, site.browser() as browser:
        path = await invited(site)
        assert ALICE in (await browser.get(path)).text
        assert (await browser.post(path, data={"password": "short"})).status_code == 400
        answer = await browser.post(path, data={"password": PASSWORD, "email": "carol@example.com"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert (await site.find()).verified_at is not None
        assert (await browser.post("/keys", data={"name": "Laptop"})).status_code == 200
        async with site.browser() as other:
            answer = await other.post(path, data={"password": PASSWORD})
            assert answer.status_code == 404
            assert "This link has ended" in answer.text


async def test_an_invitation_lasts_a_week_and_a_newer_one_ends_it(open_site: OpenSite) -> None:
    async with open_site('[accounts]\nsign_up = "invite"\n') as site, site.browser() as browser:
        first, second = await invited(site), await invited(site)
        assert (await browser.get(first)).status_code == 404
        ((until,),) = await site.query("SELECT expires_at FROM identity_links WHERE ended_at IS NULL")
        assert isinstance(until, datetime)
        assert 6.9 < (until - datetime.now(UTC)).total_seconds() / 86400 < 7.1
        await site.query("UPDATE identity_links SET created_at = now() - interval '8 days', expires_at = now()")
        assert (await browser.post(second, data={"password": PASSWORD})).status_code == 404


async def test_of_two_posts_of_one_invitation_one_registers(open_site: OpenSite) -> None:
    async with open_site('[accounts]\nsign_up = "invite"\n') as site, site.browser() as browser:
        path = await invited(site)
        answers = await asyncio.gather(*(browser.post(path, data={"password": PASSWORD}) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [303] + 4 * [404]


async def test_who_registered_meanwhile_is_sent_to_sign_in(open_site: OpenSite) -> None:
    async with open_site('[accounts]\nsign_up = "invite"\n') as site, site.browser() as browser:
        path = await invited(site)
        await site.person()
        answer = await browser.post(path, data={"password": PASSWORD})
        assert answer.status_code == 409
        assert "You have an account already." in answer.text
        async with site.database.transaction() as db:
            with pytest.raises(Conflict):
                await invite(db, read_address(ALICE.upper()))


async def test_where_accounts_are_closed_an_invitation_opens_nothing(open_site: OpenSite) -> None:
    async with open_site('[accounts]\nsign_up = "closed"\n') as site, site.browser() as browser:
        path = await invited(site)
        assert (await browser.get(path)).status_code == 403
        assert (await browser.post(path, data={"password": PASSWORD})).status_code == 403
        assert await site.query("SELECT 1 FROM identity_people") == []


@pytest.mark.parametrize("domain", ["", "harbor example", "@", "a@b@c"])
async def test_what_is_no_domain_is_refused_at_the_start(open_site: OpenSite, domain: str) -> None:
    with pytest.raises(SettingsError, match="allowed_domains"):
        async with open_site(f'[accounts]\nallowed_domains = ["{domain}"]\n'):
            pass
