"""Roo's command line: signed in at a port of this machine, for 90 days, and ended in the browser."""

import base64
import json
import time
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from pouch.base.ids import show_id
from roo.extension import PROVIDER_HEADERS, Browser
from routes.stage import Somebody, Stage
from support.cards import uses_sdk

pytestmark = [pytest.mark.anyio, uses_sdk]
STATE = "0123456789abcdef0123456789abcdef"
CALLBACK = "http://127.0.0.1:49152/callback"
PAGE = f"/cli/sign-in?state={STATE}&callback={quote(CALLBACK, safe='')}"
INPUT = quote('{"0":{"json":null,"meta":{"values":["undefined"],"v":1}}}')
ME = f"/trpc/auth.me?batch=1&input={INPUT}"


async def token_of(browser: Browser) -> str:
    answer = await browser.allow(PAGE)
    assert answer.status_code == 303
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["state"] == [STATE]
    return query["token"][0]


def as_terminal(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", "content-type": "application/json", "user-agent": "node"}


def claims(token: str) -> dict[str, Any]:
    """What `roo auth status` reads: the middle one of three parts."""
    parts = token.split(".")
    assert len(parts) == 3
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    return found


async def test_a_terminal_gets_a_token_of_ninety_days_and_knows_its_person(
    browser: Browser, http: httpx.AsyncClient, alice: Somebody
) -> None:
    page = await browser.get(PAGE)
    assert "http://127.0.0.1:49152" in page.text
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert "http://127.0.0.1:49152;" in page.headers["content-security-policy"]
    token = await token_of(browser)
    read = claims(token)
    assert read["exp"] == pytest.approx(time.time() + 90 * 86400, abs=60)
    assert read.keys() == {"iss", "sub", "exp", "iat", "nbf", "v", "r"}
    assert read["r"] == {"u": show_id("usr", alice.person.id), "t": "auth"}

    me = await http.get(ME, headers=as_terminal(token))
    assert me.status_code == 200
    (answer,) = me.json()
    user = answer["result"]["data"]["json"]["user"]
    assert answer["result"]["data"]["json"]["type"] == "user"
    assert (user["id"], user["email"]) == (read["r"]["u"], alice.email)
    assert user["entity"]["email_addresses"] == [{"email_address": alice.email}]

    chat = await http.post(
        "/proxy/v1/chat/completions",
        headers={**PROVIDER_HEADERS, "authorization": f"Bearer {token}"},
        json={"model": "pouch/paid", "messages": [{"role": "user", "content": "Enhance this"}]},
    )
    assert chat.json()["choices"][0]["message"]["content"] == "Enhance this"


async def test_the_browser_signs_it_out(browser: Browser, http: httpx.AsyncClient) -> None:
    """The command line's own sign-out only forgets its file."""
    token = await token_of(browser)
    assert (await http.get(ME, headers=as_terminal(token))).status_code == 200
    settings = await browser.get("/settings")
    assert "Roo command line" in settings.text
    # The one of the stage is there, too: end both.
    for part in settings.text.split('action="/settings/devices/')[1:]:
        device = part.partition('"')[0]
        await browser.post(f"/settings/devices/{device}")
    refused = await http.get(ME, headers=as_terminal(token))
    assert refused.status_code == 401
    assert refused.json() == [
        {
            "error": {
                "json": {
                    "message": "This sign-in is not known here, or it has ended. Sign in again.",
                    "code": -32001,
                    "data": {"code": "UNAUTHORIZED", "httpStatus": 401, "path": "auth.me"},
                }
            }
        }
    ]


async def test_pressed_twice_it_is_one_terminal(stage: Stage, browser: Browser, alice: Somebody) -> None:
    tokens = {await token_of(browser) for _ in range(2)}
    assert tokens
    async with stage.database.transaction() as db:
        rows = await db.execute(
            "SELECT count(*) FROM identity_devices WHERE person_id = %s AND name = 'Roo command line'",
            (alice.person.id,),
        )
        assert await rows.fetchone() == (1,)


async def test_who_refuses_is_led_back_without_a_token(browser: Browser) -> None:
    answer = await browser.allow(PAGE, decision="refuse")
    place = answer.headers["location"]
    assert place.startswith(f"{CALLBACK}?error=")
    assert "token" not in parse_qs(urlsplit(place).query)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("success=true", "The command line is signed in"),
        ("error=error-in-callback&message=x", "You said no"),
        ("error=missing-token&message=x", "did not get a token"),
        ("error=invalid-state-parameter&message=x", "did not belong"),
        ("error=something-new&message=%3Cb%3ESend%20money%3C/b%3E", "reported a failure"),
    ],
)
async def test_how_it_ended_is_told_without_a_state_and_without_signing_in(
    http: httpx.AsyncClient, query: str, words: str
) -> None:
    answer = await http.get(f"/cli/sign-in?{query}")
    assert answer.status_code == 200
    assert words in answer.text
    assert "Send money" not in answer.text


@pytest.mark.parametrize(
    "callback",
    ["http://evil.example:80/", "https://127.0.0.1:1/", "vscode://a.b", "http://127.0.0.1:1@evil.example/", ""],
)
async def test_a_token_never_leaves_this_machine(browser: Browser, alice: Somebody, callback: str) -> None:
    page = await browser.get(f"/cli/sign-in?state={STATE}&callback={quote(callback, safe='')}")
    assert page.status_code == 400
    form = {"state": STATE, "callback": callback, "organization": show_id("org", alice.person.organization_id)}
    for decision in ("allow", "refuse"):
        posted = await browser.post("/cli/sign-in", {**form, "decision": decision})
        assert posted.status_code == 400
        assert "location" not in posted.headers


async def test_trpc_answers_in_its_own_form(http: httpx.AsyncClient, alice: Somebody) -> None:
    headers = as_terminal(alice.opens["terminal"])
    single = await http.get("/trpc/auth.me", headers=headers)
    assert single.json()["result"]["data"]["json"]["type"] == "user"
    two = await http.get("/trpc/auth.me,billing.charge?batch=1", headers=headers)
    assert two.status_code == 207
    assert ["result" in each for each in two.json()] == [True, False]
    assert two.json()[1]["error"]["json"]["data"] == {
        "code": "NOT_FOUND",
        "httpStatus": 404,
        "path": "billing.charge",
    }
    for query, status in (("batch=1&input=nonsense", 400), ("batch=1&input=[]", 400), ("input={", 400)):
        answer = await http.get(f"/trpc/auth.me?{query}", headers=headers)
        assert answer.status_code == status, query
    many = await http.get(f"/trpc/{','.join(['auth.me'] * 50)}?batch=1", headers=headers)
    assert many.status_code == 400
    for nobody in ("", "Bearer", "Bearer unauthenticated", f"Bearer {alice.opens['token']}", f"Bearer {alice.secret}"):
        assert (await http.get(ME, headers={"authorization": nobody})).status_code == 401


async def test_models_are_listed_for_a_terminal_without_a_token(http: httpx.AsyncClient) -> None:
    for headers in ({}, {"authorization": "Bearer unauthenticated"}):
        answer = await http.get("/proxy/v1/models", headers={**PROVIDER_HEADERS, **headers})
        assert answer.status_code == 200
