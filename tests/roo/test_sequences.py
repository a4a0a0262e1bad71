"""What an editor goes through: signing in, working, changing the organization, and being signed out."""

import httpx
import pytest

from pouch.base.ids import show_id
from pouch.base.money import Money
from pouch.identity.links import LinkKind
from pouch.ledger.grants import grant
from roo.extension import REDIRECT, Browser, Extension, signed_in
from roo.test_settings import harbor
from routes.stage import Somebody, Stage
from support.cards import uses_sdk

pytestmark = [pytest.mark.anyio, uses_sdk]


async def test_an_editor_signs_in_knows_its_person_and_their_balance_and_calls_a_model(
    browser: Browser, extension: Extension, alice: Somebody
) -> None:
    callback_url = await browser.let_in(extension.page())
    assert callback_url.startswith(f"{REDIRECT}/auth/clerk/callback?code=")
    assert callback_url.endswith(f"&state={extension.state}&organizationId=null")
    assert "+" not in callback_url

    signed = await extension.sign_in(callback_url)
    assert signed.status_code == 200
    assert not extension.client_token.startswith("Bearer")
    assert (await extension.refresh()).status_code == 200

    me = (await extension.me()).json()["response"]
    address = next(each for each in me["email_addresses"] if each["id"] == me["primary_email_address_id"])
    assert address["email_address"] == alice.email
    assert (await extension.memberships()).json() == {"response": []}
    assert (await extension.balance()).json() == {"balance": 7}

    answer = await extension.chat("pouch/paid", "five words to be billed")
    assert answer.status_code == 200
    assert '"cost":' in answer.text
    assert (await extension.balance()).json()["balance"] < 7


async def test_what_an_editor_calls_is_in_the_usage_of_its_person(
    browser: Browser, extension: Extension, alice: Somebody, stage: Stage
) -> None:
    await signed_in(browser, extension)
    answer = await extension.chat("pouch/paid")
    assert answer.status_code == 200
    async with stage.database.transaction() as db:
        rows = await db.execute(
            "SELECT person_id, organization_id, key_id FROM usage_calls WHERE person_id = %s", (alice.person.id,)
        )
        found = await rows.fetchall()
    assert [(row[0], row[1], show_id("dev", row[2])) for row in found] == [
        (alice.person.id, alice.person.organization_id, extension.session_id)
    ]
    usage = await browser.get("/usage")
    assert "Visual Studio Code" in usage.text


async def test_an_editor_spends_no_more_than_its_person_lets_it(
    stage: Stage, browser: Browser, extension: Extension, alice: Somebody
) -> None:
    """A loop ends at the limit of its program, whatever the credits; another program and free models go on."""
    await signed_in(browser, extension)
    page = f"/settings/devices/{extension.session_id}/limit"
    assert page in (await browser.get("/settings")).text
    assert (await browser.post(page, {"limit": "0.0005", "period": "day"})).status_code == 303
    assert "May spend" in (await browser.get("/settings")).text
    statuses = [(await extension.chat("pouch/paid")).status_code for _ in range(40)]
    assert statuses == sorted(statuses)
    assert {*statuses} == {200, 402}
    refused = await extension.chat("pouch/paid")
    assert refused.json()["error"]["metadata"]["limit_source"] == "key_limit"
    assert "the limit of this key or signed-in program" in refused.json()["error"]["message"]
    async with stage.database.transaction() as db:
        rows = await db.execute("SELECT sum(charged_nanos) FROM usage_calls WHERE person_id = %s", (alice.person.id,))
        spent = await rows.fetchone()
    assert spent is not None
    assert 0 < spent[0] <= 500_000
    assert (await extension.chat("pouch/free")).status_code == 200
    other = await signed_in(browser, Extension(extension.http))
    assert (await other.chat("pouch/paid")).status_code == 200

    raised = await browser.post(page, {"limit": "1", "period": "day"})
    assert raised.status_code == 303
    assert (await extension.chat("pouch/paid")).status_code == 200
    assert (await browser.post(page, {"limit": "", "period": "day"})).status_code == 303
    assert "May spend" not in (await browser.get("/settings")).text


@pytest.mark.parametrize(
    "form", [{"limit": "much"}, {"limit": "0"}, {"limit": "-1"}, {"limit": "5", "period": "year"}], ids=str
)
async def test_a_limit_that_is_none_is_refused_where_it_was_typed(
    browser: Browser, extension: Extension, form: dict[str, str]
) -> None:
    await signed_in(browser, extension)
    page = f"/settings/devices/{extension.session_id}/limit"
    answer = await browser.post(page, form)
    assert answer.status_code == 400
    assert "field__error" in answer.text
    assert "May spend" not in (await browser.get("/settings")).text


async def test_after_a_switch_to_an_organization_its_credits_pay_and_its_usage_says_so(
    stage: Stage, browser: Browser, extension: Extension, alice: Somebody
) -> None:
    """And after the switch back the person's own again."""
    organization = await harbor(stage, alice)
    async with stage.database.transaction() as db:
        await grant(db, organization.id, Money.parse("3"), key=f"harbor {organization.id}", note="test")
    await signed_in(browser, extension)

    async def left() -> tuple[float, float]:
        """The person's own credits and the organization's."""
        before, found = extension.organization_id, []
        for organization_id in (None, show_id("org", organization.id)):
            extension.organization_id = organization_id
            assert (await extension.refresh()).status_code == 200
            found.append((await extension.balance()).json()["balance"])
        extension.organization_id = before
        assert (await extension.refresh()).status_code == 200
        return found[0], found[1]

    assert await left() == (7, 3)
    extension.organization_id = show_id("org", organization.id)
    assert (await extension.refresh()).status_code == 200
    assert (await extension.chat("pouch/paid")).status_code == 200
    own, shared = await left()
    assert (own, shared < 3) == (7, True)
    extension.organization_id = None
    assert (await extension.refresh()).status_code == 200
    assert (await extension.chat("pouch/paid")).status_code == 200
    after = await left()
    assert (after[0] < 7, after[1]) == (True, shared)
    async with stage.database.transaction() as db:
        rows = await db.execute(
            "SELECT organization_id FROM usage_calls WHERE person_id = %s ORDER BY id", (alice.person.id,)
        )
        assert await rows.fetchall() == [(organization.id,), (alice.person.organization_id,)]


async def test_signing_an_editor_out_in_the_browser_stops_it_at_once(browser: Browser, extension: Extension) -> None:
    """Its token for new tokens, and the tokens that it has already."""
    await signed_in(browser, extension)
    assert (await extension.chat()).status_code == 200
    settings = await browser.get("/settings")
    assert "Visual Studio Code · Roo-Code 3.52.1" in settings.text
    ended = await browser.post(f"/settings/devices/{extension.session_id}/end")
    assert ended.status_code == 303
    assert await statuses(extension) == [401] * 6
    assert "Roo-Code" not in (await browser.get("/settings")).text


async def test_signing_out_in_the_editor_stops_it_at_once(browser: Browser, extension: Extension) -> None:
    await signed_in(browser, extension)
    answer = await extension.sign_out()
    assert answer.json()["response"]["status"] == "removed"
    assert await statuses(extension) == [401] * 6


@pytest.mark.parametrize("kind", ["reset", "undo"])
async def test_a_link_of_a_mail_that_signs_programs_out_stops_them_at_once(
    stage: Stage, browser: Browser, extension: Extension, alice: Somebody, kind: LinkKind
) -> None:
    """A forgotten password, and taking back that somebody moved the account away: free requests end at once, too."""
    await signed_in(browser, extension)
    assert (await extension.balance()).status_code == 200
    page = {"reset": "/reset", "undo": "/undo-change"}[kind]
    form = {"password": "another battery, another horse"}
    answer = await browser.post(f"{page}/{await stage.link(alice, kind)}", form)
    assert answer.status_code == 303, answer.text
    assert await statuses(extension) == [401] * 6


async def statuses(extension: Extension) -> list[int]:
    """What an editor is answered that does not know yet that it was signed out."""
    answers: list[httpx.Response] = [
        await extension.refresh(),
        await extension.me(),
        await extension.memberships(),
        await extension.balance(),
        await extension.chat(),
        await extension.chat("pouch/paid"),
    ]
    return [answer.status_code for answer in answers]
