"""The public pages over the catalog that bills."""

import re
import xml.etree.ElementTree as ET
from datetime import timedelta
from decimal import Decimal

import httpx
import pytest

from pouch.base.clock import system_clock
from pouch.gateway.free import CALLS_PER_MINUTE
from pouch.gateway.idempotency import KEPT_FOR_H, KEY_BYTES_MAX
from pouch.payments.types import PurchaseState
from pouch.payments.words import PURCHASE_STATES
from pouch.site.docs import PAGES
from routes.table import cases
from support.site import OpenSite

pytestmark = pytest.mark.anyio

UPSTREAM = """
[[upstreams]]
id = "up"
base_url = "http://127.0.0.1:9/v1"
"""
PUBLIC = ["/", "/pricing", "/provider", "/provider/pouch/paid", "/provider/pouch/free", "/docs"]
PUBLIC += [page.path for page in PAGES]


def listed(name: str, price: str, more: str = "") -> str:
    return f"""
[[models]]
id = "maker/{name}"
upstream = "up"
upstream_model = "x"
name = "{name.title()}"
description = "Says what {name} says."
context_window = 200000
max_tokens = 64000
{price}
{more}
"""


def words(page: str) -> str:
    """What a page says, without its tags."""
    return " ".join(re.sub(r"<(script|style|svg).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL).split())


@pytest.mark.parametrize("who", [None, "alice", "operator"])
async def test_every_public_page_is_there_for_everybody_small_and_described(
    open_site: OpenSite, who: str | None
) -> None:
    titles = set()
    async with open_site() as site, site.browser(who) as browser:
        for path in PUBLIC if who is None else PUBLIC[1:]:
            answer = await browser.get(path)
            assert answer.status_code == 200, path
            assert len(answer.content) < 60_000
            assert f'<link rel="canonical" href="{site.settings.url}{path}">' in answer.text
            title = re.search(r"<title>(.+) · Pouch</title>", answer.text)
            described = re.search(r'<meta name="description" content="([^"]{20,200})">', answer.text)
            assert title, path
            assert described, path
            assert f'<meta property="og:title" content="{title[1]}">' in answer.text
            titles.add(title[1])
        assert len(titles) == len(PUBLIC if who is None else PUBLIC[1:])


async def test_the_addresses_in_the_head_come_from_the_settings_and_leave_the_query_out(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as stranger:
        page = (await stranger.get("/provider?q=pouch&sort=price", headers={"host": "evil.example"})).text
        assert f'href="{site.settings.url}/provider"' in page
        assert "evil.example" not in page


async def test_a_signed_in_person_goes_home_and_a_stranger_sees_the_landing(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser("alice") as alice, site.browser() as stranger:
        assert (await alice.get("/")).text == "the home of somebody"
        landing = (await stranger.get("/")).text
        assert "Put in $20. See what each answer took out." in words(landing)
        assert 'href="/sign-up"' in landing
        assert "test model" in landing


async def test_the_sums_on_the_landing_page_hold(open_site: OpenSite) -> None:
    price = 'price = { input = "3.00", output = "15.00", cache_read = "0.30", cache_write_5m = "3.75" }'
    async with open_site(UPSTREAM + listed("sonnet", price)) as site, site.browser() as stranger:
        page = (await stranger.get("/")).text
        lines = [Decimal(cost) for cost in re.findall(r"<dt>[^<]+ at [^<]+</dt><dd>\$([0-9.]+)", page)]
        assert len(lines) == 4
        total = re.search(r"This answer</dt><dd>\$([0-9.]+)", page)
        assert total
        assert sum(lines) == Decimal(total[1])
        left = re.search(r'class="money">\$([0-9.]+)<', page)
        assert left
        assert 0 <= Decimal(20) - Decimal(total[1]) - Decimal(left[1]) < Decimal("0.01")


def main_of(page: httpx.Response) -> str:
    """What a page is about."""
    return page.text.partition("<main")[2].partition("</main>")[0]


async def test_what_is_not_there_is_not_promised(open_site: OpenSite) -> None:
    """Neither what is not built, nor cards where none are taken, nor free models where there are none."""
    config = UPSTREAM + listed("paid", 'price = { input = "1", output = "2" }')
    async with open_site(config, sells=False, models=False, agents=False) as site, site.browser() as stranger:
        for path in ("/", "/pricing", "/provider", "/docs", *(page.path for page in PAGES)):
            said = words((await stranger.get(path)).text)
            assert not re.search(r"auto top-up|anthropic librar|refund", said, re.IGNORECASE), path
            assert "an hour" not in said or path not in {"/", "/pricing"}
            assert "Put in" not in said
            assert "your card is charged" not in said or path == "/pricing"
        assert "Free models need no credits" not in words((await stranger.get("/")).text)
        assert "does not take cards" in words((await stranger.get("/pricing")).text)


FEE = '[payments]\nfee_percent = "4.4"\ntax = "fixed"\ntax_percent = "20"\ntax_name = "VAT"\n'


@pytest.mark.parametrize(
    ("config", "said", "left_out"),
    [
        ("", "ten dollars of credits cost ten dollars", "The fee is"),
        (FEE, "The fee is 4.4 %. VAT of 20 % comes on top.", "cost ten dollars"),
    ],
)
async def test_a_fee_and_a_tax_are_named_where_the_docs_say_what_credits_cost(
    open_site: OpenSite, config: str, said: str, left_out: str
) -> None:
    async with open_site(config) as site, site.browser() as stranger:
        page = words((await stranger.get("/docs/credits")).text)
        assert said in page
        assert left_out not in page


async def test_a_deprecated_model_is_shown_to_nobody_who_looks_for_one(open_site: OpenSite) -> None:
    """Who calls it goes on; its page says so, and can still be reached and tried."""
    price = 'price = { input = "1", output = "2" }'
    config = UPSTREAM + listed("old", price.replace("1", "0.01"), "deprecated = true") + listed("new", price)
    async with open_site(config, models=False) as site, site.browser() as stranger, site.browser("alice") as alice:
        for path in ("/", "/pricing", "/provider", "/provider?q=old", "/sitemap.xml", *(page.path for page in PAGES)):
            assert "maker/old" not in (await stranger.get(path)).text, path
        assert "maker/new" in (await stranger.get("/provider")).text
        assert "$0.01" not in words((await stranger.get("/pricing")).text)
        page = (await stranger.get("/provider/maker/old")).text
        assert "This model is on its way out" in page
        assert 'href="/try?model=maker/old"' in page
        assert 'value="maker/old"' in (await alice.get("/try?model=maker/old")).text
        assert 'value="maker/old"' not in (await alice.get("/try")).text


async def test_a_stranger_finds_how_an_editor_is_connected(open_site: OpenSite) -> None:
    """From the front, from the docs and from below every page."""
    async with open_site("") as site, site.browser() as stranger:
        for path in PUBLIC:
            page = (await stranger.get(path)).text
            assert '<a href="/connect">' in page.partition('<footer class="footer">')[2], path
        for path in ("/", "/docs/first-call"):
            assert '<a href="/connect">' in main_of(await stranger.get(path)), path


async def test_a_closed_pouch_offers_no_account(open_site: OpenSite) -> None:
    async with open_site('[accounts]\nsign_up = "closed"') as site, site.browser() as stranger:
        assert "/sign-up" not in (await stranger.get("/")).text


async def test_an_hour_of_an_agent_has_its_price_where_prices_are(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as stranger:
        for path in ("/", "/pricing"):
            said = words((await stranger.get(path)).text)
            assert "Cloud Agents" in said
            assert "$4.50 an hour" in said


async def test_prices_agree_on_every_page_and_in_the_next_bill(open_site: OpenSite) -> None:
    """A price changed in pouch.toml changes everywhere together; what was used before keeps its own."""
    plain = UPSTREAM + listed("model", 'price = { input = "{}", output = "{}", cache_read = "0.125" }')
    before, after = plain.replace("{}", "1.50"), plain.replace("{}", "0.700000001")
    async with open_site(before) as site, site.browser() as stranger:
        for toml, price in ((before, "1.50"), (after, "0.700000001")):
            await site.apply(toml)
            entry = (await stranger.get("/v1/models/maker/model")).json()
            assert Decimal(entry["pricing"]["input"]) * 1_000_000 == Decimal(price)
            assert f"${price}" in words((await stranger.get("/provider?show=paid&q=maker")).text)
            assert f"${price}" in words((await stranger.get("/provider/maker/model")).text)
            pricing = words((await stranger.get("/pricing")).text)
            lowest = min(Decimal(price), Decimal(1))  # the test models cost one dollar
            assert f"from ${lowest if lowest < 1 else '1.00'} per million tokens" in pricing
            model = site.catalog.find("maker/model")
            assert model
            assert model.price
            assert model.price.nanos_per_mtok["input"] == Decimal(price) * 10**9


async def test_the_catalogue_says_everything_of_a_model(open_site: OpenSite) -> None:
    config = UPSTREAM + listed(
        "everything",
        'tags = ["vision", "reasoning"]\nprice = { input = "1.25", output = "10", cache_read = "0.125", '
        'cache_write_5m = "1.5", cache_write_1h = "2.5", reasoning = "11", image = "0.04", request = "0.01" }',
        'tiers = [{ above_tokens = 100000, price = { input = "2.5", output = "15" } }]',
    )
    async with open_site(config) as site, site.browser() as stranger:
        listing = words((await stranger.get("/provider?q=everything")).text)
        for said in (
            "1 of 4 models", "Everything", "maker/everything", "Says what everything says.", "vision, reasoning",
            "$1.25", "$10.00", "$0.125", "write $1.50", "Cache write, kept one hour $2.50", "Reasoning $11.00",
            "Image $0.04 each", "Request $0.01 each", "Above 100,000 tokens in: input $2.50, output $15.00",
            "200K", "64K out",
        ):  # fmt: skip
            assert said in listing, said
        page = (await stranger.get("/provider/maker/everything")).text
        for said in ("In force since", "Up to 100,000 in", "Above 100,000", "$0.04 each", "200,000", "64,000"):
            assert said in words(page), said
        for snippet in ("curl ", "from openai import OpenAI", 'import OpenAI from "openai"', "OpenAI Compatible"):
            assert snippet in page
        assert page.count("maker/everything") >= 5


async def test_free_and_test_models_are_marked(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as stranger:
        page = (await stranger.get("/provider?q=pouch/free")).text
        assert '<span class="tag tag--free">Free</span><span class="tag tag--test">Test model</span>' in page
        assert (await stranger.get("/provider?q=pouch/paid")).text.count("tag--free") == 0


async def test_without_models_every_page_says_what_helps(open_site: OpenSite) -> None:
    async with open_site(models=False) as site, site.browser() as stranger, site.browser("operator") as operator:
        assert "Whoever runs this Pouch has not set any up." in words((await stranger.get("/provider")).text)
        assert "pouch.toml" in words((await operator.get("/provider")).text)
        for path in ("/", "/pricing", "/docs/first-call", "/sitemap.xml"):
            assert (await stranger.get(path)).status_code == 200
        assert (await operator.get("/try")).status_code == 200


async def test_a_search_that_finds_nothing_says_so(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as stranger:
        page = (await stranger.get("/provider", params={"q": "<b>nothing"})).text
        assert "0 of 3 models" in words(page)
        assert "<b>nothing" not in page


async def test_a_model_that_is_not_on_sale_is_not_found(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as stranger:
        for path in ("/provider/maker/none", "/provider/", "/docs/none"):
            assert (await stranger.get(path)).status_code == 404


async def test_a_catalogue_of_hundreds_stays_small(open_site: OpenSite) -> None:
    price = 'price = { input = "1.2345", output = "2", cache_read = "0.1", cache_write_5m = "0.2", image = "0.1" }'
    config = UPSTREAM + "".join(listed(f"model{number}", price) for number in range(200))
    async with open_site(config) as site, site.browser() as stranger, site.browser("alice") as alice:
        page = await stranger.get("/provider")
        assert "203 of 203 models" in words(page.text)
        assert len(page.content) < 60_000
        second = re.search(r'rel="next" href="([^"]+)"', page.text)
        assert second
        assert "Page 2 of 6" in words((await stranger.get(second[1])).text)
        assert len((await alice.get("/try")).content) < 60_000


async def test_what_the_browser_has_is_not_sent_again(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as stranger, site.browser("alice") as alice:
        for path in ("/", "/provider", "/docs/charges", "/robots.txt", "/sitemap.xml"):
            first = await stranger.get(path)
            again = await stranger.get(path, headers={"if-none-match": f'"other", W/{first.headers["etag"]}'})
            assert (again.status_code, again.content) == (304, b"")
            head = await stranger.head(path)
            assert head.status_code == 200
            assert head.headers["etag"] == first.headers["etag"]
        page = await stranger.get("/pricing")
        assert "private" in page.headers["cache-control"]
        assert page.headers["vary"] == "accept-language, cookie"
        # Somebody else at the same browser: the same address is another page.
        hers = await alice.get("/pricing", headers={"if-none-match": page.headers["etag"]})
        assert hers.status_code == 200


async def test_search_engines_are_told_what_is_public(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as stranger:
        robots = (await stranger.get("/robots.txt")).text
        assert f"Sitemap: {site.settings.url}/sitemap.xml" in robots
        locations = [
            entry.text or "" for entry in ET.fromstring((await stranger.get("/sitemap.xml")).content).iter()
            if entry.tag.endswith("loc")
        ]  # fmt: skip
        assert f"{site.settings.url}/provider/pouch/paid" in locations
        hidden = re.findall(r"Disallow: (\S+)", robots)
        for case in cases():
            if case.method == "GET" and case.opened_by != "nothing":
                assert case.path.startswith(tuple(hidden)), case
        for location in locations:
            path = location.removeprefix(site.settings.url)
            assert (await stranger.get(path)).status_code == 200
            assert not path.startswith(tuple(hidden))


async def test_the_docs_say_the_limits_that_the_gateway_keeps(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as stranger:
        errors = words((await stranger.get("/docs/errors")).text)
        assert f"{CALLS_PER_MINUTE} calls a minute" in errors
        assert f"{CALLS_PER_MINUTE} calls a minute" in words((await stranger.get("/pricing")).text)
        assert f"{CALLS_PER_MINUTE} a minute" in words((await stranger.get("/provider/pouch/free")).text)
        assert f"up to {KEY_BYTES_MAX} bytes" in errors
        assert timedelta(hours=KEPT_FOR_H) == timedelta(days=2)
        assert "two days" in errors


async def test_the_docs_call_the_states_of_a_purchase_as_its_page_does(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as stranger:
        page = (await stranger.get("/docs/buying-credits")).text
        states: tuple[PurchaseState, ...] = ("created", "open", "processing", "credited", "failed", "expired")
        for state in states:
            assert f"<dt>{PURCHASE_STATES[state][0]}</dt>" in page, state


async def test_the_refusal_in_the_docs_has_the_shape_of_a_real_one(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as stranger, site.browser("carol") as carol:
        page = (await stranger.get("/docs/errors")).text
        body = {"model": "pouch/paid", "messages": [{"role": "user", "content": "Hi"}]}
        refused = (await carol.post("/api/try", json=body)).json()["error"]
        example = page[page.index('data-example="402"') :]
        for name in (*refused, *refused["metadata"]):
            assert f'"{name}"' in httpx.Response(200, html=example).text.replace("&#34;", '"'), name


async def test_a_price_is_dated(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as stranger:
        today = f"{system_clock():%b %Y}"
        assert today in words((await stranger.get("/provider/pouch/paid")).text)
