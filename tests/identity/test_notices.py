"""What a person is told by mail without asking."""

import pytest

from identity.site import ALICE, CHROME, FIREFOX, PASSWORD, Site
from pouch.identity.browsers import browser_words

pytestmark = pytest.mark.anyio

FORM = {"email": ALICE, "password": PASSWORD}


async def sign_in(site: Site, address: str, user_agent: str = FIREFOX) -> list[str]:
    """Sign in from somewhere; the subjects of the letters that follow."""
    async with site.browser(address, user_agent) as browser:
        assert (await browser.post("/sign-in", data=FORM)).status_code == 303
    return [mail.subject for mail in await site.post.deliver()]


async def test_a_sign_in_from_elsewhere_is_told(site: Site) -> None:
    """Not the first, not one from a known place, not one with a newer version of the same browser."""
    await site.person()
    told = ["New sign-in to Pouch"]
    assert await sign_in(site, "192.0.2.1") == []
    assert await sign_in(site, "192.0.2.1") == []
    assert await sign_in(site, "192.0.2.1", FIREFOX.replace("140", "141")) == []
    assert await sign_in(site, "198.51.100.1") == told
    assert await sign_in(site, "198.51.100.1") == []
    assert await sign_in(site, "192.0.2.1", CHROME) == told
    assert await sign_in(site, "2001:db8::1", CHROME) == told
    assert await sign_in(site, "2001:db8::2", CHROME) == []
    await site.query("UPDATE identity_places SET seen_at = now() - interval '31 days'")
    assert await sign_in(site, "192.0.2.1") == told


async def test_the_letter_says_from_where(site: Site) -> None:
    await site.person()
    await sign_in(site, "192.0.2.1")
    async with site.browser("198.51.100.1", CHROME) as browser:
        await browser.post("/sign-in", data=FORM)
    mail = await site.post.one(ALICE)
    assert "Chrome on Windows" in mail.text
    assert "198.51.100.1" in mail.html


async def test_a_wrong_password_tells_nobody_anything(site: Site) -> None:
    await site.person()
    await sign_in(site, "192.0.2.1")
    async with site.browser("198.51.100.1") as browser:
        await browser.post("/sign-in", data=FORM | {"password": "wrong password"})
    assert await site.post.deliver() == []
    assert await sign_in(site, "198.51.100.1") == ["New sign-in to Pouch"]


async def test_an_address_that_nobody_proved_hears_nothing(site: Site) -> None:
    """Carol typed Alice's address: Alice's mailbox gets one mail, whatever Carol does with her account."""
    async with site.browser("192.0.2.1") as carol:
        await carol.post("/sign-up", data=FORM)
        assert len(await site.post.deliver()) == 1
        await carol.post("/settings/password", data={"current": PASSWORD, "password": "another password"})
        await carol.post("/settings/password", data={"current": "another password", "password": PASSWORD})
    assert await sign_in(site, "198.51.100.1") == []


async def test_a_new_key_is_told_once_without_its_secret(site: Site) -> None:
    await site.person()
    async with site.signed_in() as browser:
        form = {"name": "Build <server>", "limit": "12.50", "period": "week", "attempt": "7"}
        made = await browser.post("/keys", data=form)
        assert (await browser.post("/keys", data=form)).status_code == 409
    secret = made.text.partition('value="sk-pouch-')[2].partition('"')[0]
    mail = await site.post.one(ALICE)
    assert mail.subject == "A new key for Pouch: Build <server>"
    assert "$12.50 a week" in mail.text
    assert "$12.50 a week" in mail.html
    assert "Build &lt;server&gt;" in mail.html
    assert secret[-4:] in mail.text
    assert secret not in mail.text
    assert secret not in mail.html


async def test_letters_load_nothing_and_lead_only_here(site: Site) -> None:
    await site.person()
    async with site.browser() as browser:
        await browser.post("/sign-up", data=FORM | {"email": "carol@example.com"})
        await browser.post("/sign-out")
        await browser.post("/reset", data={"email": ALICE})
    for mail in await site.post.deliver():
        for scheme in ("http://", "https://"):
            assert mail.html.count(scheme) == mail.html.count(site.url if site.url.startswith(scheme) else "\x00")
        assert "src=" not in mail.html
        assert "url(" not in mail.html


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (FIREFOX, "Firefox on Linux"),
        (CHROME, "Chrome on Windows"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1",
            "Safari on iPhone",
        ),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on macOS"),
        ("curl/8.0", "curl"),
        ("python-httpx/0.28", "A Python program"),
        ("", "Unknown browser"),
        ("<script>", "Unknown browser"),
    ],
)
def test_a_browser_has_a_name(user_agent: str, words: str) -> None:
    assert browser_words(user_agent) == words
