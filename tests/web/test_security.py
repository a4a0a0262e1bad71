from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pouch.settings import Settings
from pouch.web.application import application
from pouch.web.forms import read_form
from pouch.web.pages import Web
from pouch.web.security import Security, checkout_origins, content_policy

pytestmark = pytest.mark.anyio

OURS = "http://127.0.0.1:8080"
THEIRS = "https://evil.example"


async def _echo(request: Request) -> Response:
    if request.method == "POST" and request.headers.get("content-type"):
        return PlainTextResponse(str(len((await read_form(request)).get("a", ""))))
    return PlainTextResponse("done")


async def _own_policy(_request: Request) -> Response:
    return PlainTextResponse("", headers={"content-security-policy": "sandbox"})


def _app(settings: Settings) -> Security:
    web = Web(settings=settings)
    routes = [
        Route("/act", _echo, methods=["GET", "POST", "PUT", "DELETE"]),
        Route("/v1/act", _echo, methods=["POST"]),
        Route("/own", _own_policy),
    ]
    return application(web, routes)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(_app(Settings(config="")))
    async with httpx.AsyncClient(transport=transport, base_url=OURS) as client:
        yield client


COOKIE = {"cookie": "theme=dark; pouch=secret"}
KEY = {"authorization": "Bearer sk-pouch-x"}


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        # With the cookie, the browser must say that the request began here.
        (COOKIE, False),
        (COOKIE | {"sec-fetch-site": "same-origin"}, True),
        (COOKIE | {"sec-fetch-site": "none"}, True),
        (COOKIE | {"sec-fetch-site": "same-site"}, False),
        (COOKIE | {"sec-fetch-site": "cross-site"}, False),
        (COOKIE | {"sec-fetch-site": "cross-site", "origin": OURS}, False),
        (COOKIE | {"sec-fetch-site": "nonsense"}, False),
        (COOKIE | {"origin": OURS}, True),
        (COOKIE | {"origin": THEIRS}, False),
        (COOKIE | {"origin": "null"}, False),
        (COOKIE | {"origin": OURS + ".evil.example"}, False),
        (COOKIE | {"origin": "http://127.0.0.1:8081"}, False),
        (COOKIE | {"referer": OURS + "/act"}, False),
        # A key does not excuse a cookie that came along.
        (COOKIE | KEY, False),
        (COOKIE | KEY | {"sec-fetch-site": "same-origin"}, True),
        # Programs have keys; a foreign cookie of some proxy in between changes nothing.
        (KEY, True),
        (KEY | {"cookie": "__cf=1"}, True),
        (KEY | {"origin": THEIRS, "sec-fetch-site": "cross-site"}, True),
        ({"x-api-key": "sk-pouch-x"}, True),
        # Webhooks and curl have neither.
        ({}, True),
        # Signing somebody in from another site is refused as well.
        ({"sec-fetch-site": "cross-site"}, False),
        ({"origin": THEIRS}, False),
        ({"origin": OURS}, True),
    ],
)
async def test_unsafe_requests_of_other_sites_are_refused(
    client: httpx.AsyncClient, headers: dict[str, str], passes: bool
) -> None:
    for method in ("POST", "PUT", "DELETE"):
        answer = await client.request(method, "/act", headers=headers)
        assert (answer.status_code == 200) is passes, method
        if not passes:
            assert answer.status_code == 403
            assert "content-security-policy" in answer.headers


async def test_reading_is_never_refused(client: httpx.AsyncClient) -> None:
    for method in ("GET", "HEAD"):
        answer = await client.request(method, "/act", headers=COOKIE | {"sec-fetch-site": "cross-site"})
        assert answer.status_code == 200


async def test_a_program_is_refused_in_json(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/act", headers=COOKIE)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "not_allowed"


async def test_over_https_the_cookie_has_the_host_prefix() -> None:
    settings = Settings(config="", public_url="https://pouch.example")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(_app(settings)), base_url=settings.url) as client:
        assert (await client.post("/act", headers={"cookie": "__Host-pouch=x"})).status_code == 403
        # Over https a cookie without the prefix may have been set by another host, so it means nothing.
        assert (await client.post("/act", headers={"cookie": "pouch=x"})).status_code == 200
        answer = await client.get("/act")
        assert answer.headers["strict-transport-security"].startswith("max-age=")


@pytest.mark.parametrize("path", ["/act", "/nothing-here", "/own"])
async def test_every_response_has_the_headers(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    assert "strict-transport-security" not in headers
    assert len(headers.get_list("content-security-policy")) == 1


async def test_a_response_may_bring_its_own_policy(client: httpx.AsyncClient) -> None:
    assert (await client.get("/own")).headers["content-security-policy"] == "sandbox"


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    policy = dict(part.strip().split(" ", 1) for part in content_policy(Settings(config="")).split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["form-action"] == f"'self' {OURS}"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["trusted-types"] == "'none'"


def test_with_stripe_forms_may_lead_to_its_checkout() -> None:
    assert checkout_origins(Settings(config="")) == ()
    stripe = Settings(config="", stripe_secret_key=SecretStr("sk_test_x"))
    assert checkout_origins(stripe) == ("https://checkout.stripe.com",)
    assert "form-action 'self' http://127.0.0.1:8080 https://checkout.stripe.com;" in content_policy(stripe)


@pytest.mark.parametrize("announced", [True, False])
async def test_a_form_over_64_kb_is_refused(client: httpx.AsyncClient, announced: bool) -> None:
    """Whether its length is announced or only found out."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    body = b"a=" + b"x" * (64 * 1024)

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    answer = await client.post("/act", content=body if announced else parts(), headers=headers)
    assert answer.status_code == 413
    assert "64 kB" in answer.text
    fits = await client.post("/act", content=body[: 64 * 1024], headers=headers)
    assert fits.text == str(64 * 1024 - 2)
