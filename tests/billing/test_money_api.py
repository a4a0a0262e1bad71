import asyncio
import csv
import io
from datetime import UTC, datetime

import httpx
import pytest

from billing.site import OpenSite
from billing.test_purchase_api import program
from pouch.base.ids import new_id

pytestmark = pytest.mark.anyio

HERE = "/api/v1/billing"


async def post(client: httpx.AsyncClient, path: str, body: object) -> httpx.Response:
    return await client.post(f"{HERE}/{path}", json=body, headers={"idempotency-key": new_id().hex})


async def test_the_ledger_is_the_same_as_json_and_as_csv_page_by_page(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice:
        for number in range(5):
            await site.give("alice", f"{number + 1}", key=f"gift {number}")
        first = (await alice.get(f"{HERE}/ledger?limit=3")).json()
        rest = (await alice.get(f"{HERE}/ledger?limit=3&before={first['next_before']}")).json()
        lines = first["data"] + rest["data"]
        assert [(first["has_more"], rest["has_more"]), rest["next_before"]] == [(True, False), None]
        assert [line["amount_usd"] for line in lines] == [f"{n}.000000000" for n in (5, 4, 3, 2, 1)]
        rows = list(csv.DictReader(io.StringIO((await alice.get(f"{HERE}/ledger.csv")).text)))
        assert [row["line"] for row in rows] == [line["line"] for line in lines]
        assert (await alice.get(f"{HERE}/ledger?before=x")).status_code == 400
        assert (await alice.get(f"{HERE}/ledger?kind=purchases")).json()["data"] == []


async def test_carol_sees_nothing_of_it(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser("carol") as carol:
        await site.give("alice", "5")
        assert (await carol.get(f"{HERE}/ledger")).json()["data"] == []
        assert (await carol.get(f"{HERE}/statements")).json() == {"data": []}
        assert (await carol.get(f"{HERE}/forecast")).json()["available_usd"] == "0.000000000"


async def test_an_estimate_says_what_is_paid_and_what_there_will_be_and_begins_nothing(open_site: OpenSite) -> None:
    async with open_site() as site, program(site, "billing:read") as client:
        answer = await client.post(f"{HERE}/estimate", json={"amount_usd": "10"})
        assert answer.json() == {
            "amount_usd": "10.000000000",
            "fee_usd": "0.000000000",
            "tax_usd": "0.000000000",
            "total_usd": "10.000000000",
            "available_after_usd": "10.000000000",
        }
        refused = await client.post(f"{HERE}/estimate", json={"amount_usd": "1"})
        assert (refused.status_code, refused.json()["field"]) == (400, "amount_usd")
        assert (await client.get(f"{HERE}/purchases")).json()["data"] == []


async def test_alerts_are_set_whole_and_read_back(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice:
        wanted = {"low_usd": "5.000000000", "zero": False, "month": True}
        assert (await post(alice, "alerts", wanted)).json() == wanted
        assert (await alice.get(f"{HERE}/alerts")).json() == wanted
        page = (await alice.get("/billing/alerts")).text
        assert 'value="5.00"' in page
        assert (await post(alice, "alerts", wanted | {"low_usd": "0"})).status_code == 400
        assert (await post(alice, "alerts", {"low_usd": "5"})).status_code == 400
        saved = await alice.post("/billing/alerts", data={"low_usd": "", "zero": "on"})
        assert saved.status_code == 303
        assert (await alice.get(f"{HERE}/alerts")).json() == {"low_usd": None, "zero": True, "month": False}
        wrong = await alice.post("/billing/alerts", data={"low_usd": "five"})
        assert (wrong.status_code, 'value="five"' in wrong.text) == (400, True)


async def test_a_statement_is_a_page_an_object_and_a_file(open_site: OpenSite) -> None:
    month = f"{datetime.now(UTC):%Y-%m}"
    async with open_site() as site, site.browser() as alice:
        await site.give("alice", "5")
        told = (await alice.get(f"{HERE}/statements/{month}")).json()
        assert (told["opening_usd"], told["closing_usd"], told["is_over"]) == ("0.000000000", "5.000000000", False)
        assert told["lines"] == [{"kind": "grant", "count": 1, "total_usd": "5.000000000"}]
        assert (await alice.get(f"{HERE}/statements")).json() == {"data": [month]}
        page = (await alice.get(f"/billing/statements/{month}")).text
        assert "Credits given" in page
        assert "The month is not over" in page
        files = [(await alice.get(f"{where}/statements/{month}.csv")).text for where in (HERE, "/billing")]
        assert files[0] == files[1]
        assert len(files[0].splitlines()) == 2
        for wrong in ("2026-13", "x", "2026-1"):
            assert (await alice.get(f"{HERE}/statements/{wrong}")).status_code == 404


async def test_a_program_hears_of_its_balance_until_its_key_is_revoked(open_site: OpenSite) -> None:
    async with open_site() as site, program(site, "billing:read") as client:
        request = client.build_request("GET", f"{HERE}/events")
        heard = asyncio.Event()

        async def receive() -> dict[str, object]:
            await heard.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, object]) -> None:
            body = message.get("body", b"")
            if isinstance(body, bytes) and b"event: balance\ndata: $0.00" in body:
                heard.set()

        scope = {
            "type": "http",
            "method": "GET",
            "path": request.url.path,
            "raw_path": request.url.raw_path,
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "server": ("127.0.0.1", 8080),
            "client": ("127.0.0.1", 1),
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
        }
        async with asyncio.timeout(20):
            await site.app(scope, receive, send)  # type: ignore[arg-type]  # a narrower send than ASGI's
        assert heard.is_set()


async def test_the_forecast_is_in_the_api_and_on_billing(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice:
        await site.give("alice", "5")
        told = (await alice.get(f"{HERE}/forecast")).json()
        assert told == {"available_usd": "5.000000000", "days_left": None, "today": None, "week": None}
        assert "At today" not in (await alice.get("/billing")).text
