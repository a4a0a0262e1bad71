import httpx
import pytest

from billing.site import OpenSite, Site
from billing.test_purchase_api import program
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.vouchers.making import make
from pouch.vouchers.types import Wish

pytestmark = pytest.mark.anyio

REDEEM = "/api/v1/billing/vouchers/redeem"


async def code_of(site: Site, *, uses: int = 1) -> str:
    async with site.database.transaction() as db:
        return (await make(db, Wish(Money.parse("5"), "Workshop", uses, credits_days=30), made_by="test"))[1]


async def lots(client: httpx.AsyncClient) -> list[tuple[str, str]]:
    found = (await client.get("/api/v1/billing/lots")).json()["data"]
    return [(each["kind"], each["left_usd"][:-10]) for each in found]


async def test_a_redeemed_code_leads_to_its_line_and_is_listed_with_its_end(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice:
        form = {"code": await code_of(site), "attempt": new_id().hex}
        for _ in range(2):
            redeemed = await alice.post("/billing/redeem", data=form)
            assert redeemed.status_code == 303
        page = (await alice.get(redeemed.headers["location"])).text
        assert "Workshop" in page
        assert "+$5.00" in page
        assert await lots(alice) == [("promotional", "5")]
        billing = (await alice.get("/billing")).text
        assert "What your credits are" in billing
        assert "Workshop" in billing


async def test_a_wrong_code_is_said_beside_the_field_and_stays_typed(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice:
        refused = await alice.post("/billing/redeem", data={"code": "NONESUCH-1", "attempt": "a"})
        assert refused.status_code == 404
        assert "This code is not known here." in refused.text
        assert 'value="NONESUCH-1"' in refused.text
        for _ in range(9):
            await alice.post("/billing/redeem", data={"code": "NONESUCH-1", "attempt": "a"})
        throttled = await alice.post("/billing/redeem", data={"code": await code_of(site), "attempt": "a"})
        assert (throttled.status_code, throttled.headers["retry-after"]) == (429, "3600")
        assert await lots(alice) == []


async def test_a_program_redeems_once_for_each_key(open_site: OpenSite) -> None:
    async with open_site() as site, program(site, "billing:write") as client:
        code = await code_of(site, uses=3)
        answers = [
            await client.post(REDEEM, json={"code": code}, headers={"idempotency-key": key}) for key in ("a", "a", "b")
        ]
        assert [answer.status_code for answer in answers] == [201, 201, 409]
        assert answers[0].json() == answers[1].json()
        assert (answers[0].json()["amount_usd"], answers[2].json()["code"]) == ("5.000000000", "code_not_good")
        assert await lots(client) == [("promotional", "5")]


async def test_reading_takes_no_more_than_the_scope_to_read(open_site: OpenSite) -> None:
    async with open_site() as site, program(site, "billing:read") as client:
        assert await lots(client) == []
        refused = await client.post(REDEEM, json={"code": "x"}, headers={"idempotency-key": "a"})
        assert refused.status_code == 403
