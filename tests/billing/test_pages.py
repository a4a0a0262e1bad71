import re
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest

from billing.site import OpenSite, Site
from pouch.base.ids import new_id
from pouch.web.assets import Assets
from support.busy import make_busy, make_customer
from support.cards import uses_sdk

pytestmark = [pytest.mark.anyio, uses_sdk]


async def _buy(browser: httpx.AsyncClient, **form: str) -> httpx.Response:
    return await browser.post("/billing/purchases", data={"attempt": str(uuid4()), **form})


async def _pay(site: Site, browser: httpx.AsyncClient, usd: str) -> str:
    """Buy to the end and answer with the address of the purchase's page."""
    started = await _buy(browser, amount_usd=usd)
    assert started.status_code == 303
    assert site.processor
    paid = await site.processor.pay(started.headers["location"])
    assert paid.location
    return paid.location


async def test_a_purchase_ends_with_the_credits_in_the_top_bar(open_site: OpenSite) -> None:
    """Alice types $12.50, pays, comes back, and sees it where the seed promised: top right."""
    async with open_site() as site, site.browser() as alice:
        location = await _pay(site, alice, "12.50")
        page = await alice.get(location)
        assert page.status_code == 200
        assert "Your credits are here" in page.text
        assert "Visa ending 4242" in page.text
        assert _balance_button(page.text) == "Available $12.50"

        billing = (await alice.get("/billing")).text
        assert "Credits bought" in billing
        assert 'value="12.500000000"' in billing


async def test_the_return_page_seen_again_credits_nothing(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice:
        location = await _pay(site, alice, "10")
        for _ in range(3):
            assert _balance_button((await alice.get(location)).text) == "Available $10.00"


async def test_a_form_sent_twice_is_one_purchase(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice:
        form = {"amount_usd": "10.00", "attempt": str(uuid4())}
        first = await alice.post("/billing/purchases", data=form)
        again = await alice.post("/billing/purchases", data=form)
        assert first.headers["location"] == again.headers["location"]
        assert (await alice.get("/billing")).text.count("Not paid yet") == 1


async def test_a_typed_amount_counts_and_else_the_preset(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice:
        await _buy(alice, amount_usd="7.25", preset="50.00")
        await _buy(alice, amount_usd="", preset="50.00")
        billing = (await alice.get("/billing")).text
        assert "$7.25" in billing
        assert billing.count('class="end">$50.00') == 1


@pytest.mark.parametrize(
    ("amount", "sentence"),
    [
        ("", "Choose an amount or type one."),
        ("4.99", "The amount must be from $5.00 to $1,000.00."),
        ("1000.01", "The amount must be from $5.00 to $1,000.00."),
        ("-5", "Type an amount in dollars and cents"),
        ("1e3", "Type an amount in dollars and cents"),
        ("NaN", "Type an amount in dollars and cents"),
        ("10.001", "Type an amount in dollars and cents"),
        ("\N{ARABIC-INDIC DIGIT ONE}\N{ARABIC-INDIC DIGIT ZERO}", "Type an amount in dollars and cents"),
        ("10,00", "Type an amount in dollars and cents"),
        ("<script>", "Type an amount in dollars and cents"),
    ],
)
async def test_an_impossible_amount_is_said_beside_the_field(open_site: OpenSite, amount: str, sentence: str) -> None:
    """What was typed is still there, and so is the attempt."""
    async with open_site() as site, site.browser() as alice:
        attempt = str(uuid4())
        page = await alice.post("/billing/purchases", data={"amount_usd": amount, "attempt": attempt})
        assert page.status_code == 400
        assert sentence in page.text
        assert 'aria-invalid="true"' in page.text
        assert attempt in page.text
        assert "<script>" not in page.text.replace('<script type="module"', "")
        assert "Not paid yet" not in (await alice.get("/billing")).text


async def test_the_same_attempt_with_another_amount_is_refused_and_a_new_one_offered(open_site: OpenSite) -> None:
    """Alice goes back from the checkout and changes $10 to $25: the old attempt stays what it was."""
    async with open_site() as site, site.browser() as alice:
        attempt = str(uuid4())
        await alice.post("/billing/purchases", data={"amount_usd": "10", "attempt": attempt})
        page = await alice.post("/billing/purchases", data={"amount_usd": "25", "attempt": attempt})
        assert page.status_code == 409
        assert attempt not in page.text
        assert 'value="25"' in page.text


async def test_carol_cannot_see_alices_purchase_and_bob_can(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice, site.browser("bob") as bob, site.browser("carol") as carol:
        location = await _pay(site, alice, "10")
        assert (await bob.get(location)).status_code == 200
        refused = await carol.get(location)
        assert refused.status_code == 404
        assert "4242" not in refused.text
        assert "$10.00" not in (await carol.get("/billing")).text.partition("<dialog")[0]


async def test_nobody_is_sent_to_sign_in_and_back(open_site: OpenSite) -> None:
    async with open_site(sells=False) as site, site.browser(None) as stranger:
        page = await stranger.get("/billing?before=7")
        assert page.status_code == 303
        assert page.headers["location"] == "/sign-in?next=%2Fbilling%3Fbefore%3D7"
        posted = await _buy(stranger, amount_usd="10")
        assert posted.headers["location"] == "/sign-in"


@pytest.mark.parametrize(
    "name", ["pur_x", "pur_00000000000000000000000000", "%2e%2e", "gen_00000000000000000000000000"]
)
async def test_an_unknown_purchase_is_not_found(open_site: OpenSite, name: str) -> None:
    async with open_site(sells=False) as site, site.browser() as alice:
        assert (await alice.get(f"/billing/purchases/{name}")).status_code == 404


async def test_without_a_processor_buying_says_whom_to_ask(open_site: OpenSite) -> None:
    config = '[site]\nsupport_email = "help@harbor.example"\n'
    async with open_site(sells=False, config=config) as site, site.browser() as alice:
        page = (await alice.get("/billing/buy")).text
        assert "does not take cards" in page
        assert "help@harbor.example" in page
        assert 'name="amount_usd"' not in page
        refused = await _buy(alice, amount_usd="10")
        assert refused.status_code == 403
        assert "does not take cards" in refused.text


async def test_limits_and_presets_follow_the_operator(open_site: OpenSite) -> None:
    config = '[credits]\npurchase_min_usd = "20.00"\npurchase_max_usd = "60.00"\n'
    async with open_site(config=config) as site, site.browser() as alice:
        page = (await alice.get("/billing/buy")).text
        assert re.findall(r'name="preset" value="([0-9.]+)"', page) == ["25.00", "50.00"]
        assert "From $20.00 to $60.00." in page


async def test_an_unpaid_purchase_can_be_continued_and_is_not_a_charge(open_site: OpenSite) -> None:
    """Alice closes the checkout. Its page leads back to it, and nothing looks as if it were pending."""
    async with open_site() as site, site.browser() as alice:
        started = await _buy(alice, amount_usd="10")
        billing = (await alice.get("/billing")).text
        found = re.search(r'href="(/billing/purchases/pur_[0-9a-v]+)"', billing)
        assert found
        page = (await alice.get(found[1])).text
        assert "This purchase is not paid yet" in page
        assert started.headers["location"] in page
        assert "refresh" not in page
        assert _balance_button(page) == "Available $0.00"


async def test_a_processor_that_is_away_leaves_a_page_that_asks_again(open_site: OpenSite) -> None:
    """The purchase exists; whether the processor heard of it is unknown. Nobody is told to pay twice."""
    async with open_site() as site, site.browser() as alice:
        assert site.processor
        site.processor.faults.break_answers = 100
        started = await _buy(alice, amount_usd="10")
        assert started.status_code == 303
        page = (await alice.get(started.headers["location"])).text
        assert "The payment page is being prepared" in page
        assert '<meta http-equiv="refresh"' in page


async def test_lines_are_paged_newest_first(open_site: OpenSite) -> None:
    async with open_site(sells=False) as site, site.browser() as alice:
        for number in range(35):
            await site.give("alice", "1", key=f"gift{number}")
        first = (await alice.get("/billing")).text
        older = re.search(r'href="(/billing\?before=[0-9]+)#ledger"', first)
        assert older
        assert first.count(">Credits given</a>") == 20
        second = (await alice.get(older[1])).text
        assert second.count(">Credits given</a>") == 15
        assert "Older" not in second
        for junk in ("x", "-1", "9" * 30, ""):
            assert (await alice.get("/billing", params={"before": junk})).status_code == 200


@pytest.fixture
async def filled(open_site: OpenSite) -> AsyncIterator[httpx.AsyncClient]:
    """The browser of Alice, whose account has all that there is: calls, purchases, auto top-ups, gifts and cards."""
    async with open_site() as site, site.browser() as browser:
        alice = site.people["alice"]
        await site.give("alice", "500")
        async with site.database.transaction() as db:
            await make_busy(db, alice.organization_id, alice.person_id, [new_id(), new_id(), new_id()], calls=300)
            await make_customer(db, alice.organization_id, alice.person_id, purchases=25, gifts=25)
        yield browser


@pytest.mark.parametrize("language", ["en", "de"])
async def test_every_page_is_small_with_all_that_it_loads(filled: httpx.AsyncClient, language: str) -> None:
    """What is sent of page, style sheet and script: the first view, when the browser has kept none of them yet."""
    filled.headers.update({"accept-encoding": "gzip", "accept-language": language})
    loaded = [await filled.get(Assets().url(name)) for name in ("css/pouch.css", "js/pouch.js")]
    for path in ("/", "/billing", "/billing?kind=calls", "/billing/buy", "/usage", "/usage?days=90"):
        page = await filled.get(path)
        assert page.status_code == 200
        assert "content-encoding" not in page.headers  # it holds secrets beside what others may put into it
        assert sum(each.num_bytes_downloaded for each in (page, *loaded)) < 60_000, path


async def test_every_purchase_is_on_exactly_one_page(filled: httpx.AsyncClient) -> None:
    """Unpaid ones, too, which no line of the ledger leads to. Only the first page looks out for new ones."""
    seen: list[str] = []
    page = await filled.get("/billing")
    assert 'data-fresh="purchases"' in page.text
    while older := re.search(r'href="(/billing\?purchases=pur_[0-9a-v]+)#h-purchases"', page.text):
        seen += _purchases_on(page.text)
        page = await filled.get(older[1])
        assert 'data-fresh="purchases"' not in page.text
        assert "Newest purchases" in page.text
    seen += _purchases_on(page.text)
    assert len(seen) == len(set(seen)) == 25
    last = await filled.get("/billing", params={"purchases": seen[-1]})
    assert "There are no older purchases." in last.text
    assert (await filled.get("/billing", params={"purchases": "pur_of_nobody"})).status_code == 200


async def test_the_credits_that_are_spent_first_are_shown_and_the_others_a_press_away(
    filled: httpx.AsyncClient,
) -> None:
    first = (await filled.get("/billing")).text
    assert "The first 5 of 41 are shown." in first
    every = (await filled.get("/billing?lots=all")).text
    assert [_lots_on(page).count("<tr><td>") for page in (first, every)] == [5, 41]
    assert "are shown." not in every


def _lots_on(page: str) -> str:
    return page.partition('id="h-lots"')[2].partition("</table>")[0]


def _purchases_on(page: str) -> list[str]:
    table = page.partition('id="h-purchases"')[2].partition("</table>")[0]
    return re.findall(r'class="table__what" href="/billing/purchases/(pur_[0-9a-v]+)"', table)


async def test_the_home_page_of_alice(open_site: OpenSite) -> None:
    async with open_site(sells=False) as site, site.browser() as alice:
        await site.give("alice", "8.119")
        home = await alice.get("/")
        assert _balance_button(home.text) == "Available $8.11"
        assert "pouch/free" in home.text


async def test_the_header_has_what_scripts_and_people_rely_on(open_site: OpenSite) -> None:
    async with open_site(sells=False) as site, site.browser() as alice:
        page = (await alice.get("/billing")).text
        assert 'aria-label="Auto top-up"' in page
        assert "Billing and Credits" in page
        assert '<form method="post" action="/sign-out">' in page
        assert "This Pouch does not take cards, so nothing can be bought by itself." in page


def _balance_button(page: str) -> str:
    found = re.search(r'<button[^>]*id="balance"[^>]*>(.*?)</button>', page, re.DOTALL)
    assert found
    return " ".join(re.sub(r"<svg.*?</svg>|<[^>]+>", "", found[1], flags=re.DOTALL).split())
