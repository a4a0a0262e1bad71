"""The page that lets an editor in, and its ticket: once, within a minute, for one state and one session."""

from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from pouch.base.ids import show_id
from roo.extension import CLERK_HEADERS, REDIRECT, Browser, Extension, signed_in
from roo.test_settings import harbor
from routes.stage import Somebody, Stage
from support.cards import uses_sdk

pytestmark = [pytest.mark.anyio, uses_sdk]


async def test_a_ticket_works_once(browser: Browser, extension: Extension) -> None:
    callback_url = await browser.let_in(extension.page())
    assert (await extension.sign_in(callback_url)).status_code == 200
    first = extension.client_token
    again = await extension.sign_in(callback_url)
    assert again.status_code == 401
    assert "authorization" not in again.headers
    extension.client_token = first
    assert (await extension.refresh()).status_code == 200


async def test_a_ticket_works_for_a_minute(
    stage: Stage, browser: Browser, extension: Extension, alice: Somebody
) -> None:
    callback_url = await browser.let_in(extension.page())
    async with stage.database.transaction() as db:
        await db.execute(
            "UPDATE identity_tickets SET expires_at = expires_at - interval '61 seconds' WHERE person_id = %s",
            (alice.person.id,),
        )
    assert (await extension.sign_in(callback_url)).status_code == 401


async def test_a_ticket_ends_with_the_session_that_gave_it(browser: Browser, extension: Extension) -> None:
    callback_url = await browser.let_in(extension.page())
    assert (await browser.post("/sign-out")).status_code == 303
    assert (await extension.sign_in(callback_url)).status_code == 401


async def test_a_state_lets_one_editor_in(browser: Browser, extension: Extension) -> None:
    """Pressed twice it is the newer ticket; once it was used, the state is spent."""
    older = await browser.let_in(extension.page())
    newer = await browser.let_in(extension.page())
    assert (await extension.sign_in(older)).status_code == 401
    assert (await extension.sign_in(newer)).status_code == 200
    pressed = await browser.allow(extension.page())
    assert pressed.status_code == 409
    assert "finished before" in pressed.text


async def test_a_state_of_somebody_else_is_refused(stage: Stage, browser: Browser, extension: Extension) -> None:
    """Carol has seen Alice's link and lets herself in first: Alice's editor does not become Carol's by it."""
    carol = await stage.somebody()
    await browser.let_in(extension.page())
    async with stage.client() as client:
        assert (await Browser(client, stage, carol).allow(extension.page())).status_code == 409


async def test_the_way_back_is_shown_in_this_session_alone(
    stage: Stage, browser: Browser, extension: Extension
) -> None:
    pressed = await browser.allow(extension.page())
    place = pressed.headers["location"]
    shown = await browser.get(place)
    assert shown.headers["cache-control"] == "no-store"
    assert shown.text.count(REDIRECT) >= 3
    assert 'data-copy="callback"' in shown.text
    carol = await stage.somebody()
    async with stage.client() as client:
        assert (await Browser(client, stage, carol).get(place)).status_code == 404
    callback_url = (await browser.get(place)).text.partition('data-callback-url="')[2].partition('"')[0]
    await extension.sign_in(callback_url.replace("&amp;", "&"))
    done = await browser.get(place)
    assert "is signed in" in done.text
    assert "data-callback-url" not in done.text


async def test_a_ticket_is_not_in_the_database(stage: Stage, browser: Browser, extension: Extension) -> None:
    callback_url = await browser.let_in(extension.page())
    code = parse_qs(urlsplit(callback_url).query)["code"][0]
    async with stage.database.transaction() as db:
        rows = await db.execute("SELECT t::text FROM identity_tickets t")
        dump = str(await rows.fetchall())
    assert code not in dump
    assert code[26:] not in dump


async def test_signed_out_people_sign_in_or_register_first_and_come_back(
    http: httpx.AsyncClient, extension: Extension
) -> None:
    asked = await http.get(extension.page())
    assert asked.status_code == 303
    place = asked.headers["location"]
    assert place == f"/sign-in?next={quote(extension.page(), safe='')}"
    sign_in = await http.get(place)
    assert f'name="next" value="{extension.page().replace("&", "&amp;")}"' in sign_in.text
    assert f"/sign-up?next={quote(extension.page(), safe='/')}" in sign_in.text


async def test_whoever_is_not_verified_is_helped_to_it(stage: Stage, extension: Extension) -> None:
    person = await stage.somebody(verified=False)
    async with stage.client() as client:
        browser = Browser(client, stage, person)
        page = await browser.get(extension.page())
        assert "Confirm your address first" in page.text
        form = {
            "state": extension.state,
            "auth_redirect": REDIRECT,
            "organization": show_id("org", person.person.organization_id),
        }
        assert (await browser.post("/extension/sign-in", form)).status_code == 403


async def test_nobody_lets_an_editor_into_an_organization_of_others(
    stage: Stage, browser: Browser, extension: Extension
) -> None:
    carol = await stage.somebody()
    pier = await harbor(stage, carol)
    for foreign in (show_id("org", pier.id), show_id("org", carol.person.organization_id), "org_x", ""):
        answer = await browser.post(
            "/extension/sign-in", {"state": extension.state, "auth_redirect": REDIRECT, "organization": foreign}
        )
        assert answer.status_code in {400, 404}, foreign


async def test_an_organization_chosen_on_the_way_is_the_editors(
    stage: Stage, browser: Browser, extension: Extension, alice: Somebody
) -> None:
    bob = await stage.somebody()
    organization = await harbor(stage, bob, alice)
    org_id = show_id("org", organization.id)
    page = await browser.get(extension.page())
    assert page.text.count('type="radio"') == 2
    await signed_in(browser, extension, organization=org_id)
    assert extension.organization_id == org_id
    (membership,) = (await extension.memberships()).json()["response"]
    assert (membership["organization"]["id"], membership["organization"]["name"]) == (org_id, "Harbor")
    assert (await extension.balance()).json() == {"balance": 0}
    extension.organization_id = None
    await extension.refresh()
    assert (await extension.balance()).json() == {"balance": 7}


@pytest.mark.parametrize("page", ["/extension/provider-sign-up", "/extension/sign-in", "/l/supernova"])
async def test_each_page_leads_back_with_a_model_only_where_one_is_chosen(
    browser: Browser, extension: Extension, page: str
) -> None:
    shown = await browser.get(extension.page(page))
    chooses = page == "/extension/provider-sign-up"
    assert ('name="provider_model"' in shown.text) is chooses
    callback_url = await browser.let_in(extension.page(page), model="pouch/free" if chooses else None)
    assert callback_url.endswith("&provider_model=pouch%2Ffree") is chooses
    assert (await extension.sign_in(callback_url)).status_code == 200


async def test_a_model_that_is_not_sold_is_refused(browser: Browser, extension: Extension) -> None:
    answer = await browser.allow(extension.page("/extension/provider-sign-up"), model="nobody/knows")
    assert answer.status_code == 400


async def test_what_cannot_be_an_editor_sees_no_button(browser: Browser) -> None:
    for query in (
        "state=0123456789abcdef&auth_redirect=https%3A%2F%2Fevil.example",
        "state=0123456789abcdef&auth_redirect=javascript%3A%2F%2Fa.b",
        "state=%3Cscript%3E&auth_redirect=vscode%3A%2F%2Fa.b",
        "state=0123456789abcdef",
        "auth_redirect=vscode%3A%2F%2Fa.b",
    ):
        for page in ("/extension/sign-in", "/extension/provider-sign-up"):
            answer = await browser.get(f"{page}?{query}")
            assert answer.status_code == 400, query
            assert "evil.example" not in answer.text
            assert "<form" not in answer.text.partition("<main")[2].partition("</main>")[0]
    assert (await browser.get("/extension/sign-in")).headers["location"] == "/connect"


async def test_an_editor_nobody_has_heard_of_is_let_in_with_a_warning(browser: Browser, extension: Extension) -> None:
    page = f"/extension/sign-in?state={extension.state}&auth_redirect=odd-editor%3A%2F%2Fsome.body"
    assert "This editor is not known here" in (await browser.get(page)).text
    assert (await browser.let_in(page)).startswith("odd-editor://some.body/auth/clerk/callback?code=")


async def test_wrong_tickets_are_refused_and_then_not_looked_at(stage: Stage) -> None:
    async with stage.client() as client:
        client.headers.clear()
        headers = {**CLERK_HEADERS, "content-type": "application/x-www-form-urlencoded"}
        answers = [
            (
                await client.post("/v1/client/sign_ins", headers=headers, content=f"strategy=ticket&ticket={n}")
            ).status_code
            for n in range(52)
        ]
    assert answers == [401] * 50 + [429] * 2


async def test_whoever_works_for_an_organization_is_told_which_pages_do_not_show_it(
    stage: Stage, browser: Browser, extension: Extension, alice: Somebody
) -> None:
    """On the way in, in Settings and on Usage; nobody else is."""
    told = {
        extension.page(): "neither the credits of an organization nor the calls made for it",
        "/settings": "is not on your own Billing and Usage pages",
        "/usage": "not those that you make for Harbor.",
    }
    assert [words in (await browser.get(page)).text for page, words in told.items()] == [False] * 3
    organization = await harbor(stage, alice)
    await signed_in(browser, extension, organization=show_id("org", organization.id))
    assert [words in (await browser.get(page)).text for page, words in told.items()] == [True] * 3
