"""What opens a link stands in the letter alone."""

import re

import pytest

from identity.site import ALICE, PASSWORD, Site
from pouch.base.ids import new_id, show_id
from pouch.base.secret_keys import SecretKeys
from pouch.identity.addresses import read_address
from pouch.identity.errors import LinkEnded
from pouch.identity.links import Tokens, add_link, forget_old_links
from pouch.identity.registration import invite

pytestmark = pytest.mark.anyio

URL = "https://pouch.harbor.example"


async def test_no_token_stands_in_the_database(site: Site) -> None:
    """One link of each kind was sent; then every text and every byte of every table is read."""
    await site.person()
    async with site.signed_in() as browser, site.browser("198.51.100.1") as other:
        await other.post("/sign-up", data={"email": "bob@example.com", "password": PASSWORD})
        await other.post("/reset", data={"email": ALICE})
        await browser.post("/settings/email", data={"email": "alice@harbor.example"})
        async with site.database.transaction() as db:
            await invite(db, read_address("carol@example.com"))
        mails = await site.post.deliver()
        await browser.post(next(mail for mail in mails if mail.to == "alice@harbor.example").path())
        mails += await site.post.deliver()
    tokens = [found[1] for mail in mails if (found := re.search(r"/([0-9a-v]{64})", mail.text))]
    assert len(tokens) == 5
    tables = await site.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    dump = "".join([str(await site.query(f'SELECT t::text FROM "{table}" t')) for (table,) in tables]).casefold()
    assert "alice" in dump
    for token in tokens:
        assert token not in dump
        assert token[26:] not in dump
        # The signature in other letters.
        number = int(token, 32)
        assert f"{number:080x}"[32:] not in dump


def test_a_token_is_read_with_an_older_secret_and_not_with_a_foreign_one() -> None:
    old, new, foreign = "o" * 32, "n" * 32, "f" * 32
    link_id = new_id()
    token = Tokens(SecretKeys(old), URL).path("reset", link_id).removeprefix("/reset/")
    assert Tokens(SecretKeys(new, [old]), URL).read("reset", token) == link_id
    for keys in (SecretKeys(new), SecretKeys(foreign)):
        with pytest.raises(LinkEnded):
            Tokens(keys, URL).read("reset", token)
    with pytest.raises(LinkEnded):
        Tokens(SecretKeys(old), URL).read("verify", token)


def test_a_letter_without_a_link_stays_as_it_is() -> None:
    tokens = Tokens(SecretKeys("x" * 32), URL)
    assert tokens.complete("purchase", {"amount": "$5.00"}) == {"amount": "$5.00"}
    link_id = new_id()
    done = tokens.complete("any", {"link": f"reset {show_id('lnk', link_id)}"})
    assert done["link_url"] == f"{URL}{tokens.path('reset', link_id)}"


async def test_old_links_are_forgotten(site: Site) -> None:
    alice = await site.person()
    async with site.database.transaction() as db:
        for _ in range(2):
            await add_link(db, "reset", read_address(ALICE), alice.id)
        await db.execute(
            """
            UPDATE identity_links SET created_at = now() - interval '40 days', expires_at = now() - interval '31 days'
             WHERE id = (SELECT id FROM identity_links LIMIT 1)
            """
        )
        await forget_old_links(db)
    assert await site.query("SELECT count(*) FROM identity_links") == [(1,)]
