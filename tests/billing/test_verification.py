"""Nobody buys with an address that is not proved to be theirs."""

from dataclasses import replace

import pytest

from billing.site import OpenSite

pytestmark = pytest.mark.anyio


async def test_an_unverified_person_sees_the_prices_and_cannot_buy(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as browser:
        site.people["alice"] = replace(site.people["alice"], is_verified=False)
        assert (await browser.get("/billing/buy")).status_code == 200
        answer = await browser.post("/billing/purchases", data={"amount_usd": "10", "attempt": "1"})
        assert answer.status_code == 403
        assert "Confirm your e-mail address first" in answer.text
        async with site.database.transaction() as db:
            rows = await db.execute("SELECT count(*) FROM payment_purchases")
            assert await rows.fetchone() == (0,)
