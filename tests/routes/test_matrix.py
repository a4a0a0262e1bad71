"""Every route, asked as everybody: what docs/access.md says is what comes out."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from uuid import uuid4

import httpx
import psycopg
import pytest

from conftest import at_database
from pouch.base.ids import new_id, show_id
from pouch.web.cookies import cookie_name
from pouch.web.security import security_headers
from routes.stage import PASSWORD, PLACE, VOUCHER, Somebody, Stage, opened, task_name
from routes.table import VISITORS, Case, cases
from routes.walking import BESIDE_THE_ROUTES, routes_of
from support.cards import uses_sdk

pytestmark = [pytest.mark.anyio, uses_sdk]

ALL = cases()
QUESTION = {"model": "pouch/free", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8, "stream": True}
SIGN_IN = re.compile(r"/sign-in(\?next=.*)?")
UNKNOWN = {
    "/billing/purchases/{id}": "pur",
    "/billing/cards/added/{id}": "set",
    "/billing/cards/{id}/default": "card",
    "/billing/cards/{id}/remove": "card",
    "/billing/purchases/{id}/receipt": "pur",
    "/billing/purchases/{id}/refund": "pur",
    "/billing/ledger/{id}": "line",
    "/api/v1/billing/purchases/{id}": "pur",
    "/api/v1/billing/refunds/{id}": "ref",
    "/usage/{id}": "gen",
    "/admin/grants/{id}/revoke": "line",
    "/admin/vouchers/{id}": "vou",
    "/admin/approvals/{id}": "ask",
    "/settings/devices/{device}/limit": "dev",
    "/keys/{key}/revoke": "key",
    "/api/v1/keys/{hash}": "key",
    "/extension/sign-in/{ticket}": "tick",
    "/tasks/{task}": "task",
    "/tasks/{task}/delete": "task",
    "/tasks/{task}/shares": "task",
    "/organizations/{organization}/editors": "org",
    "/v1/client/sessions/{session}/tokens": "dev",
    "/v1/client/sessions/{session}/remove": "dev",
    "/agents/{run}": "run",
    "/agents/{run}/stop": "run",
    "/api/v1/agent-runs/{run}": "run",
    "/api/v1/agent-runs/{run}/stop": "run",
    "/embedded/mailbox/{mail_id}": "mail",
    "/embedded/mailbox/{mail_id}/html": "mail",
}
"""Addresses of things whose ids can be well formed and yet nobody's."""

Form = Callable[[Somebody, Somebody], dict[str, str]]
"""What is typed, by whose the thing is and by who types."""
RULE = {"threshold_usd": "5", "how": "amount", "amount_usd": "20", "cap_usd": "100", "daily_max": "3", "charge": "none"}
FORMS: dict[str, Form] = {
    "/sign-in": lambda _, visitor: {"email": visitor.email, "password": PASSWORD},
    "/sign-up": lambda _, visitor: {"email": f"new-{visitor.email}", "password": PASSWORD},
    "/confirm-password": lambda *_: {"password": PASSWORD},
    "/reset": lambda owner, _: {"email": owner.email},
    "/reset/{token}": lambda *_: {"password": "another horse battery"},
    "/invitation/{token}": lambda *_: {"password": PASSWORD},
    "/first/{token}": lambda _, visitor: {"email": f"first-{visitor.email}", "password": PASSWORD},
    "/settings/email": lambda _, visitor: {"email": f"moved-{visitor.email}"},
    "/settings/password": lambda *_: {"current": PASSWORD, "password": "another horse battery"},
    "/settings/delete": lambda _, visitor: {"email": visitor.email},
    "/settings/devices/{device}/limit": lambda *_: {"limit": "5", "period": "day"},
    "/keys": lambda *_: {"name": "Laptop", "attempt": new_id().hex},
    "/billing/redeem": lambda *_: {"code": VOUCHER, "attempt": new_id().hex},
    "/billing/alerts": lambda *_: {"low_usd": "5"},
    "/billing/purchases": lambda *_: {"amount_usd": "10", "attempt": new_id().hex},
    "/billing/auto-top-up": lambda *_: RULE,
    "/billing/cards/add": lambda *_: {"attempt": new_id().hex},
    "/try": lambda *_: {"model": "pouch/free", "prompt": "hi", "max_tokens": "256", "attempt": new_id().hex},
    "/extension/sign-in": lambda _, visitor: {
        "auth_redirect": "vscode://RooVeterinaryInc.roo-cline",
        "state": new_id().hex,
        "organization": show_id("org", visitor.person.organization_id),
    },
    "/tasks/settings": lambda *_: {"keeps_tasks": "on", "keep_days": "30"},
    "/tasks/{task}/shares": lambda *_: {"visibility": "public"},
    "/organizations/{organization}/editors": lambda *_: {"allows_all": "on", "share_days": "7"},
    "/cli/sign-in": lambda _, visitor: {
        "callback": "http://127.0.0.1:49152/callback",
        "state": new_id().hex,
        "organization": show_id("org", visitor.person.organization_id),
    },
    "/v1/client/sign_ins": lambda *_: {"strategy": "ticket", "ticket": "anything"},
    "/v1/client/sessions/{session}/tokens": lambda *_: {"_is_native": "1", "organization_id": ""},
    "/v1/client/sessions/{session}/remove": lambda *_: {"_is_native": "1"},
    "/agents": lambda *_: {"task": "Mend it", "repository": "https://git.example.com/a.git", "attempt": new_id().hex},
    "/agents/automations": lambda *_: {
        "name": "Each day",
        "task": "Look",
        "repository": "https://git.example.com/a.git",
        "time": "06:00",
    },
    "/agents/automations/{schedule}/switch": lambda *_: {"on": "0"},
    "/agents/automations/triggers": lambda *_: {"happening": "github:issue_mention"},
    "/agents/automations/triggers/{trigger}/switch": lambda *_: {"on": "0"},
    "/agents/environments": lambda *_: {"name": new_id().hex},
    "/agents/environments/{environment}": lambda *_: {"name": new_id().hex, "commands": "make"},
    "/agents/environments/{environment}/key": lambda *_: {"make": "key"},
    "/agents/environments/{environment}/hosts": lambda *_: {"remove": "SHA256:of-nobody"},
    "/agents/environments/{environment}/values": lambda *_: {
        "value_name": "MODE",
        "value_kind": "setup",
        "value": "a long one",
    },
    "/agents/{run}/messages": lambda *_: {"message": "Use tabs"},
    "/agents/{run}/cap": lambda *_: {"cap_usd": "2"},
    "/agents/set-up/day-cap": lambda *_: {"day_cap_usd": ""},
    "/agents/set-up/hook": lambda *_: {"url": "https://ci.harbor.example/pouch"},
    "/agents/set-up/kinds/{kind}": lambda *_: {"prompt": "Use tabs"},
    "/billing/purchases/{id}/refund": lambda *_: {"amount_usd": "2.00", "attempt": new_id().hex},
    "/admin/grants": lambda _, visitor: {
        "to": visitor.email,
        "amount_usd": "1",
        "note": "Gift",
        "attempt": new_id().hex,
    },
    "/admin/vouchers": lambda *_: {"amount_usd": "1", "note": "Workshop", "attempt": new_id().hex},
    "/admin/vouchers/codes.csv": lambda *_: {"codes": VOUCHER},
    "/admin/purchases/{id}/refund": lambda *_: {"amount_usd": "2.00", "attempt": new_id().hex},
    "/embedded/cards/pay/{session_id}": lambda *_: {"number": "4242424242424242", "expiration": "12/34", "cvc": "123"},
    "/embedded/cards/pay/{session_id}/authentication": lambda *_: {"outcome": "complete"},
}
"""What must be typed for a form to be taken. The others have only a button."""
BODIES: dict[str, dict[str, object]] = {
    "/api/v1/keys": {"name": "Build server"},
    "/api/v1/billing/purchases": {"amount_usd": "10"},
    "/api/v1/billing/auto-topup": {"threshold_usd": "5", "amount_usd": "20", "monthly_cap_usd": "100"},
    "/api/v1/billing/refunds": {"purchase": "pur_of_nobody"},
    "/api/v1/billing/vouchers/redeem": {"code": VOUCHER},
    "/api/v1/billing/alerts": {"low_usd": "5", "zero": True, "month": False},
    "/api/v1/billing/estimate": {"amount_usd": "10"},
    "/api/v1/agent-runs": {"task": "Mend it", "repository": "https://git.example.com/a.git"},
    "/api/v1/agent-runs/{run}/messages": {"text": "Use tabs"},
    "/api/v1/agent-runs/{run}/cap": {"cap_usd": "2"},
}
"""What programs post there, each time as a new intention."""
DOCUMENTS: dict[str, Callable[[Somebody], dict[str, object]]] = {
    "/api/user-settings": lambda _: {"settings": {"taskSyncEnabled": True}},
    "/api/events": lambda _: {"type": "Task Created", "properties": {"taskId": "another task"}},
    "/api/extension/share": lambda visitor: {"taskId": task_name(visitor), "visibility": "public"},
}
"""What programs send as JSON, by who sends it."""
FILES = {
    "/api/events/backfill": {
        "taskId": (None, "another task"),
        "properties": (None, "{}"),
        "file": ("task.json", '[{"ts": 1, "type": "say", "say": "text", "text": "Hello"}]'),
    }
}
"""What they send as several parts."""


@pytest.fixture(scope="module")
def stage_database_url(postgres_url: str, template_database: str) -> Iterator[str]:
    name = f"pouch_routes_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template_database}" STRATEGY file_copy')
        yield at_database(postgres_url, name)
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
async def stage(stage_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with opened(stage_database_url, tmp_path_factory.mktemp("data")) as stage:
        yield stage


@pytest.fixture
async def client(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    async with stage.client() as client:
        yield client


async def test_the_tables_name_every_route_once_and_no_other(stage: Stage) -> None:
    """Who adds a route says in docs/access.md who may use it."""
    named = [(case.method, case.path) for case in ALL]
    answered = routes_of(stage.root)
    assert sorted(answered - set(named)) == [], "docs/access.md does not name these"
    assert sorted(set(named) - answered) == [], "docs/access.md names what is not there"
    assert len(named) == len(set(named))


@pytest.mark.parametrize("case", ALL, ids=str)
async def test_everybody_gets_what_the_table_says(stage: Stage, client: httpx.AsyncClient, case: Case) -> None:
    got = []
    for visitor, said in zip(VISITORS, case.answers, strict=True):
        # Nobody is changed by being looked at: the same people ask for all pages.
        somebody = stage.regular if case.method == "GET" else stage.somebody
        owner = await somebody("owner", verified=visitor != "unverified")
        who = await visitor_of(somebody, visitor, owner)
        address = await stage.address(case.path, owner)
        answer = await ask(stage, client, case, address, owner=owner, who=who)
        if visitor in {"other", "operator"} and said not in {"yes", "sign in"} and not is_endless(case, answer):
            assert owner.email not in answer.text, f"{visitor} was shown what belongs to somebody else"
        if (case.method, case.path) not in BESIDE_THE_ROUTES:
            assert security_headers(stage.settings).keys() <= answer.headers.keys()
        if case.method == "GET":
            head = await client.head(address, headers=stage.headers(who, by=case.opened_by))
            assert head.status_code == answer.status_code
        got.append(in_words(answer))
    assert got == ["yes" if said in {"own", "nothing"} else said for said in case.answers]


@pytest.mark.parametrize("case", [case for case in ALL if PLACE.search(case.path)], ids=str)
async def test_what_nobody_has_is_not_found(stage: Stage, client: httpx.AsyncClient, case: Case) -> None:
    owner = await stage.somebody()
    names = ["nonsense", "%00", f"{UNKNOWN[case.path]}_{'0' * 26}"] if case.path in UNKNOWN else ["nonsense", "%00"]
    if case.path in UNKNOWN:
        names.append(show_id(UNKNOWN[case.path], new_id()))
    refused = {"OPTIONS": "yes"}.get(case.method, "401" if case.opened_by == "secret" else "404")
    for name in names:
        answer = await ask(stage, client, case, PLACE.sub(name, case.path), owner=owner, who=owner)
        assert in_words(answer) == refused, name


async def test_what_comes_from_elsewhere_is_refused_and_does_nothing(stage: Stage, client: httpx.AsyncClient) -> None:
    """Alice's browser posts everything that can be posted, caused by another site or by who knows whom."""
    alice = await stage.somebody()
    cookie = {"cookie": f"{cookie_name(stage.settings)}={alice.cookie}"}
    foreign: list[dict[str, str]] = [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site", "origin": stage.settings.url, "authorization": "Bearer sk-pouch-x"},
    ]
    for case in ALL:
        if case.method not in {"GET", "OPTIONS"}:
            address, form = await stage.address(case.path, alice), FORMS.get(case.path)
            for headers in foreign:
                answer = await client.request(
                    case.method, address, headers=cookie | headers, data=form(alice, alice) if form else None
                )
                # What Root answers by itself knows no cookies.
                assert answer.status_code == (401 if (case.method, case.path) in BESIDE_THE_ROUTES else 403), case
    assert await is_untouched(stage, client, alice)


async def test_carol_changes_nothing_of_alices(stage: Stage, client: httpx.AsyncClient) -> None:
    alice, carol = await stage.somebody(), await stage.somebody(operator=True)
    for case in ALL:
        if case.method == "POST" and case.opened_by.startswith("session"):
            carol = await stage.somebody(operator=True)
            await ask(stage, client, case, await stage.address(case.path, alice), owner=carol, who=carol)
    assert await is_untouched(stage, client, alice)


async def test_a_key_sees_its_own_organization_alone(stage: Stage, client: httpx.AsyncClient) -> None:
    """Whatever the address says, and whatever cookie comes with it."""
    alice, carol = await stage.somebody(), await stage.somebody()
    call = await stage.call(alice)
    cookie = {"cookie": f"{cookie_name(stage.settings)}={alice.cookie}"}
    by_cookie = await client.get("/api/v1/credits", headers=cookie)
    assert by_cookie.status_code == 401
    headers = cookie | stage.headers(carol, by_key=True)
    more = {"id": call, "organization": await stage.organization(alice), "key": await stage.key(alice)}
    seen = {name: await client.get(f"/api/v1/{name}", params=more, headers=headers) for name in ("credits", "key")}
    assert seen["credits"].json()["data"]["total_usage_usd"] == "0.000000000"
    assert seen["key"].json()["data"]["label"] == f"Key of {carol.email}"
    assert (await client.get("/api/v1/generation", params=more, headers=headers)).status_code == 404


async def test_from_elsewhere_there_is_nothing_embedded(stage: Stage, client: httpx.AsyncClient) -> None:
    """Neither under another name of this machine nor through a proxy."""
    alice = await stage.somebody(operator=True)
    for case in ALL:
        if case.path.startswith("/embedded/"):
            address = await stage.address(case.path, alice)
            for elsewhere in ({"host": "pouch.example"}, {"x-forwarded-for": "192.0.2.7"}):
                headers = stage.headers(alice, by_key=False) | elsewhere
                answer = await client.request(case.method, address, headers=headers)
                assert answer.status_code == 404, (case, elsewhere)


async def visitor_of(somebody: Callable[..., Awaitable[Somebody]], visitor: str, owner: Somebody) -> Somebody | None:
    """Who asks for the owner's thing."""
    match visitor:
        case "anonymous":
            return None
        case "unverified" | "member":
            return owner
        case _:
            return await somebody(visitor, operator=visitor == "operator")


async def ask(
    stage: Stage, client: httpx.AsyncClient, case: Case, address: str, *, owner: Somebody, who: Somebody | None
) -> httpx.Response:
    """Send what the page or program would send. Streams without an end are left after their head."""
    client.cookies.clear()
    form = FORMS.get(case.path)
    document = DOCUMENTS.get(case.path)
    body = document(who) if document and who else None
    asks_a_model = case.path.endswith(("/chat/completions", "/api/try"))
    is_program = case.path.startswith(("/api/v1/billing/", "/api/v1/agent-runs", "/api/v1/keys"))
    is_api = is_program and case.method in {"POST", "PUT"}
    if is_api:
        body = BODIES.get(case.path, {})
    async with client.stream(
        case.method,
        address,
        headers=stage.headers(who, by=case.opened_by) | ({"idempotency-key": new_id().hex} if is_api else {}),
        data=form(owner, who or owner) if form and case.method == "POST" else None,
        json=QUESTION if asks_a_model else body,
        files=FILES.get(case.path),
    ) as answer:
        if not is_endless(case, answer):
            await answer.aread()
        return answer


def is_endless(case: Case, answer: httpx.Response) -> bool:
    """Whether this is an event stream, which is left after its head."""
    return case.path.endswith("/events") and answer.is_success


def in_words(answer: httpx.Response) -> str:
    """What the table calls this answer."""
    if answer.status_code == 303:
        return "sign in" if SIGN_IN.fullmatch(answer.headers["location"]) else "yes"
    return "yes" if answer.is_success else str(answer.status_code)


async def is_untouched(stage: Stage, client: httpx.AsyncClient, who: Somebody) -> bool:
    """Whether somebody is still signed in, with the same address, password and key, and bought nothing."""
    client.cookies.clear()
    async with stage.database.transaction() as db:
        counts = await db.execute(
            """
            SELECT (SELECT count(*) FROM identity_keys WHERE organization_id = %(id)s AND revoked_at IS NULL),
                   (SELECT count(*) FROM payment_purchases WHERE organization_id = %(id)s AND state <> 'credited'),
                   (SELECT password_hash FROM identity_people WHERE id = %(person)s)
            """,
            {"id": who.person.organization_id, "person": who.person.id},
        )
        row = await counts.fetchone()
    settings = await client.get("/settings", headers=stage.headers(who, by_key=False))
    key = await client.get("/api/v1/key", headers=stage.headers(who, by_key=True))
    return row == (1, 0, stage.password_hash) and who.email in settings.text and key.is_success
