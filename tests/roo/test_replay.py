"""Every request of the wire contract, with its exact headers and body: the documented answer and errors."""

from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import orjson
import pytest

from roo import shapes
from roo.extension import CLERK_HEADERS, PROVIDER_HEADERS, Browser, Extension, Telling, signed_in
from roo.shapes import Shape, faults
from roo.test_cli import ME
from routes.stage import Somebody, Stage
from support.cards import uses_sdk

pytestmark = [pytest.mark.anyio, uses_sdk]

FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}
CLOUD = {"user-agent": "Roo-Code unknown", **JSON}
PLAIN = {"user-agent": "node"}
TASK = "8e0e9f0e-6c1c-4d0e-9d44-2f3c7a5b1c22"
EVENT = {
    "type": "Task Message",
    "properties": {
        "appName": "roo-cline",
        "appVersion": "3.52.1",
        "vscodeVersion": "1.99.0",
        "platform": "linux",
        "editorName": "Visual Studio Code",
        "language": "en",
        "mode": "code",
        "taskId": TASK,
        "message": {"ts": 1_795_780_800_000, "type": "say", "say": "text", "text": "Hello", "partial": False},
    },
}


@dataclass(frozen=True)
class Exchange:
    """A request of the contract and what is answered."""

    section: str
    method: str
    path: str
    headers: dict[str, str]
    opened_by: str
    """The table's word: client, token, terminal or nothing."""
    shape: Shape
    body: bytes = b""
    refused: tuple[Shape, int] | None = None
    """What comes without a token that is good here."""
    status: int = 200
    needs: Callable[[Telling], object] = field(default=lambda _: None)

    def __str__(self) -> str:
        return f"{self.section} {self.method} {self.path.partition('?')[0]}"


CLERK = (shapes.CLERK_ERROR, 401)
API = (shapes.PROBLEM, 401)
EXCHANGES = [
    Exchange(
        "2.3.2",
        "POST",
        "/v1/client/sessions/{session}/tokens",
        {**CLERK_HEADERS, **FORM},
        "client",
        shapes.TOKEN,
        b"_is_native=1&organization_id=",
        CLERK,
    ),
    Exchange(
        "2.3.2 saved before organizations",
        "POST",
        "/v1/client/sessions/{session}/tokens",
        {**CLERK_HEADERS, **FORM},
        "client",
        shapes.TOKEN,
        b"_is_native=1",
        CLERK,
    ),
    Exchange("2.3.3", "GET", "/v1/me", CLERK_HEADERS, "client", shapes.ME, refused=CLERK),
    Exchange(
        "2.3.4", "GET", "/v1/me/organization_memberships", CLERK_HEADERS, "client", shapes.MEMBERSHIPS, refused=CLERK
    ),
    Exchange("3", "GET", ME, PLAIN, "terminal", shapes.AUTH_ME, refused=(shapes.TRPC_ERROR, 401)),
    Exchange("4.1", "GET", "/proxy/v1/models", PROVIDER_HEADERS, "nothing", shapes.MODELS),
    Exchange("5.1", "GET", "/api/extension/credit-balance", CLOUD, "token", shapes.BALANCE, refused=API),
    Exchange("5.2", "GET", "/api/extension-settings", PLAIN, "token", shapes.SETTINGS, refused=API),
    Exchange(
        "5.3",
        "PATCH",
        "/api/user-settings",
        {**PLAIN, **JSON},
        "token",
        shapes.USER,
        b'{"settings":{"taskSyncEnabled":true}}',
        API,
    ),
    Exchange(
        "5.4 not kept here",
        "POST",
        "/api/extension/share",
        CLOUD,
        "token",
        shapes.PROBLEM,
        b'{"taskId":"unknown","visibility":"organization"}',
        API,
        status=404,
    ),
    Exchange("5.5", "GET", "/api/extension/bridge/config", CLOUD, "token", shapes.BRIDGE, refused=API),
    Exchange("5.6", "POST", "/api/events", {**PLAIN, **JSON}, "token", dict, orjson.dumps(EVENT), API),
    Exchange(
        "5.6 again, from the retry queue",
        "POST",
        "/api/events",
        {**PLAIN, **JSON, "x-retry-queue": "true"},
        "token",
        dict,
        orjson.dumps(EVENT),
        API,
    ),
    Exchange(
        "5.4",
        "POST",
        "/api/extension/share",
        CLOUD,
        "token",
        shapes.SHARE,
        orjson.dumps({"taskId": TASK, "visibility": "public"}),
        API,
    ),
    Exchange("5.8", "GET", "/api/cloud-agents", CLOUD, "token", shapes.AGENTS, refused=API),
    Exchange(
        "2.3.5",
        "POST",
        "/v1/client/sessions/{session}/remove",
        {**CLERK_HEADERS, **FORM},
        "client",
        dict,
        b"_is_native=1",
        CLERK,
    ),
]


async def test_every_request_is_answered_as_the_contract_says(
    stage: Stage, http: httpx.AsyncClient, alice: Somebody
) -> None:
    """In the order in which an editor sends them, up to signing out."""
    session = await stage.device(alice)
    for exchange in EXCHANGES:
        path = exchange.path.replace("{session}", session)
        if exchange.refused is not None:
            shape, status = exchange.refused
            for wrong in (
                "",
                "Bearer",
                "Bearer unauthenticated",
                "Bearer a.b.c",
                "Basic eDp5",
                f"Bearer {'x' * 5000}",
            ):
                headers = exchange.headers | ({"authorization": wrong} if wrong else {})
                refused = await http.request(exchange.method, path, headers=headers, content=exchange.body)
                assert refused.status_code == status, (str(exchange), wrong)
                assert faults(refused.json(), shape) == [], str(exchange)
        given = {} if exchange.opened_by == "nothing" else stage.headers(alice, by=exchange.opened_by)
        answer = await http.request(exchange.method, path, headers=exchange.headers | given, content=exchange.body)
        assert answer.status_code == exchange.status, (str(exchange), answer.text)
        assert faults(answer.json(), exchange.shape) == [], str(exchange)


async def test_the_ticket_is_answered_as_the_contract_says(browser: Browser, extension: Extension) -> None:
    """2.3.1: the client token is a header of the answer, without "Bearer"."""
    answer = await extension.sign_in(await browser.let_in(extension.page()))
    assert faults(answer.json(), shapes.SIGN_IN) == []
    token = answer.headers["authorization"]
    assert token.strip() == token
    assert " " not in token
    for body in (b"", b"strategy=ticket", b"strategy=password&ticket=x", b"strategy=ticket&ticket=", b"ticket=x"):
        refused = await extension.http.post("/v1/client/sign_ins", headers={**CLERK_HEADERS, **FORM}, content=body)
        assert refused.status_code == 400
        assert faults(refused.json(), shapes.CLERK_ERROR) == []


async def test_the_marketplace_is_yaml_and_no_json(http: httpx.AsyncClient) -> None:
    """5.7: the client's HTTP library turns any JSON into an object, which its YAML reader cannot read."""
    for kind in ("modes", "mcps"):
        answer = await http.get(f"/api/marketplace/{kind}", headers={"accept": "application/json"})
        assert answer.text == "items: []\n"
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(answer.content)


async def test_old_addresses_lead_somewhere(http: httpx.AsyncClient, browser: Browser) -> None:
    """6: what clients and the public web site linked to."""
    for path in ("/checkout/team", "/cloud-agents/setup", "/cloud-agents/welcome", "/cloud-agents/create"):
        place = (await browser.get(path)).headers["location"]
        assert (await browser.get(place)).status_code == 200, place
    for goal in ("/billing", "/cloud-agents/setup", "/checkout/team"):
        for page in ("/sign-up", "/sign-in"):
            shown = await http.get(f"{page}?redirect_url={goal}")
            assert f'name="next" value="{goal}"' in shown.text
            gone = await browser.get(f"{page}?redirect_url={goal}")
            assert gone.headers["location"] == goal
    agent = await browser.get("/sign-up?redirect_url=/cloud-agents/setup&agent=pr-fixer")
    assert agent.headers["location"] == "/cloud-agents/setup?agent=pr-fixer"
    for evil in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
        assert (await browser.get(f"/sign-in?redirect_url={evil}")).headers["location"] == "/"


async def test_at_zero_balance_everything_but_paid_models_works(
    stage: Stage, browser: Browser, extension: Extension, alice: Somebody
) -> None:
    """The extension stays free: no credits and no card."""
    async with stage.database.transaction() as db:
        await db.execute(
            "UPDATE ledger_accounts SET balance_nanos = 0 WHERE organization_id = %s AND kind = 'customer'",
            (alice.person.organization_id,),
        )
    telling = Telling(await signed_in(browser, extension))
    assert (await extension.balance()).json() == {"balance": 0}
    assert (await extension.chat("pouch/free")).status_code == 200
    paid = await extension.chat("pouch/paid")
    assert paid.status_code == 402
    assert "/billing" in paid.json()["error"]["message"]
    assert (await telling.say(1_795_780_800_000, "With a key of my own")).status_code == 200
    assert (await telling.share()).json()["success"] is True
    assert (await extension.settings())["user"]["settings"]["taskSyncEnabled"] is True
