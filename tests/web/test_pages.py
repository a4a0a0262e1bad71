from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest
import structlog
from psycopg_pool import PoolTimeout
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.base.errors import Conflict, InvalidInput, NotAllowed, NotFound, TooManyRequests, Unavailable
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.settings import Settings
from pouch.web.application import application
from pouch.web.pages import Web
from pouch.web.viewer import Header, Viewer, initials

pytestmark = pytest.mark.anyio


@dataclass(frozen=True, slots=True)
class Alice:
    email: str = "alice@harbor.example"
    organization_id: UUID = field(default_factory=new_id)
    person_id: UUID = field(default_factory=new_id)
    session_id: UUID = field(default_factory=new_id)
    is_operator: bool = False
    is_verified: bool = True


FAILURES = {
    "missing": NotFound("There is no such purchase."),
    "forbidden": NotAllowed("This is for operators."),
    "unreadable": InvalidInput("That is no amount.", field="amount_usd"),
    "changed": Conflict("Somebody else was faster."),
    "often": TooManyRequests("Wait a little.", retry_after_s=7),
    "away": Unavailable("The database is away.", retry_after_s=3),
    "broken": RuntimeError("secret detail"),
    "crowded": PoolTimeout("couldn't get a connection after 10.00 sec"),
    "cut": psycopg.OperationalError("secret detail"),
}


class Pages:
    """An app that fails on demand, under a page's address and under the APIs'."""

    def __init__(self) -> None:
        self.web = Web(settings=Settings(config=""))
        self.asked = 0
        self.is_down = False
        prefixes = ("", "/api", "/v1", "/proxy/v1")
        routes = [
            *(Route(prefix + "/fail/{how}", self.fail, methods=["GET", "POST"]) for prefix in prefixes),
            Route("/private", self.private),
            Route("/api/private", self.private),
        ]
        self.app = application(self.web, routes)

    async def fail(self, request: Request) -> Response:
        raise FAILURES[request.path_params["how"]]

    async def private(self, request: Request) -> Response:
        await self.web.signed_in(request)
        await self.web.viewer(request)
        return await self.web.page(request, "web/layout.html")

    def sign_in(self) -> None:
        async def find_viewer(_request: Request) -> Viewer:
            if self.is_down:
                raise RuntimeError("no database")
            self.asked += 1
            return Alice()

        async def find_header(_viewer: Viewer) -> Header:
            return Header(Money(8_119_000_000), Money(500_000_000), Money(8_619_000_000), Money(5_000_000_000))

        self.web.find_viewer, self.web.find_header = find_viewer, find_header


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
async def client(pages: Pages) -> AsyncIterator[httpx.AsyncClient]:
    # As a real server does: what is raised after the answer goes to its log, not to the client.
    transport = httpx.ASGITransport(pages.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        yield client


@pytest.mark.parametrize(
    ("how", "status"),
    [("missing", 404), ("forbidden", 403), ("unreadable", 400), ("changed", 409), ("often", 429), ("away", 503)],
)
async def test_a_foreseen_failure_says_its_sentence(client: httpx.AsyncClient, how: str, status: int) -> None:
    page = await client.get(f"/fail/{how}")
    assert page.status_code == status
    assert str(FAILURES[how]) in page.text
    assert page.text.count("<h1") == 1
    problem = await client.get(f"/api/fail/{how}")
    assert problem.status_code == status
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json()["detail"] == str(FAILURES[how])
    for prefix in ("/v1", "/proxy/v1"):
        error = (await client.get(f"{prefix}/fail/{how}")).json()["error"]
        assert error["message"] == str(FAILURES[how])
        assert error["type"] == ("server_error" if status >= 500 else "invalid_request_error")


async def test_a_failure_that_passes_says_when_to_come_back(client: httpx.AsyncClient) -> None:
    assert (await client.get("/fail/often")).headers["retry-after"] == "7"
    assert (await client.get("/api/fail/away")).headers["retry-after"] == "3"


@pytest.mark.parametrize("how", ["crowded", "cut"])
async def test_a_database_that_does_not_answer_passes_too(pages: Pages, client: httpx.AsyncClient, how: str) -> None:
    pages.sign_in()
    for address in (f"/fail/{how}", f"/api/fail/{how}", f"/v1/fail/{how}"):
        answer = await client.get(address)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
        assert "Nothing of yours is lost; try again in a few seconds." in answer.text
        assert str(FAILURES[how]) not in answer.text
    assert ">Try again</a>" in (await client.get(f"/fail/{how}")).text
    assert ">Go to Billing</a>" in (await client.post(f"/fail/{how}")).text


async def test_a_page_is_drawn_in_the_language_that_is_asked_for(client: httpx.AsyncClient) -> None:
    german = await client.get("/no/such/page", headers={"accept-language": "de-AT,de;q=0.9,en;q=0.8"})
    assert '<html lang="de">' in german.text
    assert '<h1 id="h-error">Diese Seite gibt es nicht</h1>' in german.text
    assert german.headers["vary"] == "accept-language"
    for wish in ("", "fr", "en-GB, de;q=0.5", "de;q=0"):
        english = await client.get("/no/such/page", headers={"accept-language": wish})
        assert '<html lang="en">' in english.text
        assert "There is no such page" in english.text


async def test_programs_are_answered_in_english(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/private", headers={"accept-language": "de"})
    assert answer.json()["detail"] == "Sign in to see this."


async def test_the_operators_language_is_for_whoever_asks_for_none_that_is_there(tmp_path: Path) -> None:
    file = tmp_path / "pouch.toml"
    file.write_text('[site]\nlanguage = "de"\n')
    web = Web(settings=Settings(config=str(file)))
    transport = httpx.ASGITransport(application(web, []))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        for wish, lang in (("fr", "de"), ("en", "en"), ("", "de")):
            assert f'lang="{lang}"' in (await client.get("/", headers={"accept-language": wish})).text


async def test_an_invalid_field_is_named(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/fail/unreadable")).json()["field"] == "amount_usd"
    assert (await client.get("/v1/fail/unreadable")).json()["error"]["param"] == "amount_usd"


async def test_an_unforeseen_failure_tells_its_number_and_nothing_else(client: httpx.AsyncClient) -> None:
    """The number in the page is the number in the log."""
    with structlog.testing.capture_logs() as logs:
        page = await client.get("/fail/broken")
    assert page.status_code == 500
    assert "The fault is ours." in page.text
    assert "nothing was charged" in page.text
    assert "secret detail" not in page.text
    assert "Traceback" not in page.text
    assert page.headers["x-content-type-options"] == "nosniff"
    (entry,) = (log for log in logs if log["event"] == "request_failed")
    assert entry["error_id"] in page.text
    assert "/fail/broken" not in str(entry["endpoint"])


async def test_an_unforeseen_failure_of_an_act_promises_nothing(client: httpx.AsyncClient) -> None:
    with structlog.testing.capture_logs():
        page = await client.post("/fail/broken")
        problem = await client.post("/api/fail/broken")
    assert "nothing was charged" not in page.text
    assert "Look at Billing before you try again" in page.text
    assert problem.json()["code"] == "internal_error"
    assert problem.json()["error_id"].startswith("err_")
    assert "secret" not in problem.text


async def test_the_page_of_failure_needs_no_database(pages: Pages, client: httpx.AsyncClient) -> None:
    pages.sign_in()
    pages.is_down = True
    with structlog.testing.capture_logs():
        page = await client.get("/private")
    assert page.status_code == 500
    assert "The fault is ours." in page.text


async def test_an_unknown_address_and_a_wrong_method(client: httpx.AsyncClient) -> None:
    page = await client.get("/nowhere<script>")
    assert page.status_code == 404
    assert "There is no such page" in page.text
    assert "nowhere" not in page.text
    wrong = await client.delete("/fail/missing")
    assert wrong.status_code == 405
    assert "GET" in wrong.headers["allow"]
    assert (await client.get("/api/nowhere")).json()["status"] == 404


async def test_head_answers_like_get(client: httpx.AsyncClient) -> None:
    assert (await client.head("/fail/missing")).status_code == 404


async def test_nobody_is_led_to_sign_in_and_a_program_is_told(client: httpx.AsyncClient) -> None:
    page = await client.get("/private?a=1&b=2")
    assert page.status_code == 303
    assert page.headers["location"] == "/sign-in?next=%2Fprivate%3Fa%3D1%26b%3D2"
    assert (await client.get("/api/private")).status_code == 401


async def test_the_viewer_is_asked_for_once_per_request(pages: Pages, client: httpx.AsyncClient) -> None:
    pages.sign_in()
    page = await client.get("/private")
    assert page.status_code == 200
    assert pages.asked == 1
    assert page.headers["cache-control"] == "private, no-cache"


async def test_the_top_bar_shows_the_money(pages: Pages, client: httpx.AsyncClient) -> None:
    pages.sign_in()
    page = (await client.get("/private")).text
    assert 'id="balance"' in page
    assert "$8.11" in page
    assert "Held for calls in progress" in page
    assert "+$5.00" in page
    assert "Account of alice@harbor.example" in page


async def test_the_banner_is_on_every_page(pages: Pages, client: httpx.AsyncClient) -> None:
    pages.web.banner = "Play money is accepted here."
    assert "Play money is accepted here." in (await client.get("/fail/missing")).text


async def test_sign_up_is_offered_only_where_it_is_open(pages: Pages, client: httpx.AsyncClient) -> None:
    assert 'href="/sign-up"' in (await client.get("/nowhere")).text
    pages.web.templates.globals["sign_up_is_open"] = False
    assert 'href="/sign-up"' not in (await client.get("/nowhere")).text


@pytest.mark.parametrize(
    ("email", "letters"),
    [("alice.moreau@x", "AM"), ("bob@x", "B"), ("a_b-c@x", "AB"), ("...@x", "?"), ("élan@x", "É")],
)
def test_initials(email: str, letters: str) -> None:
    assert initials(email) == letters
