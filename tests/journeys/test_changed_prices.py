"""A price that changes in pouch.toml changes everywhere at once, and nowhere behind anybody's back."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import pytest

from journeys.buyer import Buyer, buyer
from support.pouch import Funds, RunningPouch
from support.upstream import Exchange, FakeUpstream, completion, fake_upstream, usage

pytestmark = pytest.mark.anyio

TOKENS_IN, TOKENS_OUT = 1_000, 500
OLD, NEW = (Decimal("0.75"), Decimal("1.5")), (Decimal("0.8"), Decimal("2.25"))
"""Dollars per million tokens, in and out."""
TOML = """
[embedded]
models = false
[[upstreams]]
id = "house"
base_url = "{url}"
[[models]]
id = "house/one"
upstream = "house"
upstream_model = "one"
name = "House one"
context_window = 100000
max_tokens = 1000
price = {{ input = "{prices[0]}", output = "{prices[1]}" }}
"""


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with fake_upstream() as running:
        yield running


@pytest.fixture
def new_pouch(upstream: FakeUpstream) -> Iterator[RunningPouch]:
    with RunningPouch(toml=TOML.format(url=upstream.url, prices=OLD)) as running:
        yield running


async def test_a_new_price_is_everywhere_together_and_old_usage_keeps_its_own(
    new_pouch: RunningPouch, upstream: FakeUpstream
) -> None:
    """Alice calls at the old price, is in the middle of a call while it changes, and calls at the new one."""
    pouch, gate = new_pouch, asyncio.Event()

    async def count(exchange: Exchange) -> None:
        if exchange.body["messages"][0]["content"] == "slowly":
            await gate.wait()
        await exchange.answer(completion("Done.", usage(TOKENS_IN, TOKENS_OUT)))

    upstream.script = count
    async with buyer(pouch, "alice@example.com") as alice, asyncio.TaskGroup() as group:
        pouch.does("grant", alice.email, "5", "--key", "prices", "--note", "To begin with")
        secret = pouch.does("key", "add", alice.email, "laptop").strip()
        assert await shown_prices(alice) == {OLD}
        before = await call(alice, secret)
        across = group.create_task(call(alice, secret, "slowly"))
        while len(upstream.seen) < 2:
            await asyncio.sleep(0.02)

        (pouch.folder / "pouch.toml").write_text(TOML.format(url=upstream.url, prices=NEW))
        planned = pouch.does("catalog", "plan", str(pouch.folder / "pouch.toml"))
        assert "house/one" in planned
        assert await shown_prices(alice) == {OLD}
        assert pouch.does("catalog", "apply", str(pouch.folder / "pouch.toml")) == planned

        # Within a second, and together: once one of them says the new price, all of them do.
        async with asyncio.timeout(10):
            while await listed_prices(alice) == OLD:
                await asyncio.sleep(0.02)
        assert await shown_prices(alice) == {NEW}
        after = await call(alice, secret)
        gate.set()
        assert (await across)[1] == before[1] == cost(OLD)
        assert after[1] == cost(NEW)

        for generation, prices in ((before[0], OLD), ((await across)[0], OLD), (after[0], NEW)):
            receipt = await alice.visit(f"/usage/{generation}")
            assert set(re.findall(r"\$[0-9.]+", rows_of(receipt))) >= {dollars(prices[0]), dollars(prices[1])}
            told = await alice.client.get(f"/api/v1/generation?id={generation}", headers=bearer(secret))
            assert Decimal(str(told.json(parse_float=Decimal)["data"]["total_cost"])) == cost(prices)
        lines = (await alice.client.get("/billing/ledger.json?kind=calls")).json()["lines"]
        assert sorted(Decimal(line["amount_usd"]) for line in lines) == sorted([-cost(OLD), -cost(OLD), -cost(NEW)])
    assert pouch.balance("alice@example.com") == Funds(5 - 2 * cost(OLD) - cost(NEW))
    assert pouch.does("ledger", "check").startswith("All is well: ")


async def shown_prices(alice: Buyer) -> set[tuple[Decimal, Decimal]]:
    """What the three places say that a million tokens cost, in and out."""
    shown = {await listed_prices(alice)}
    provider, pricing = await alice.visit("/provider"), await alice.visit("/pricing")
    inward, outward = re.findall(r"<dt>(?:Input|Output)</dt>\s*<dd[^>]*>\$([0-9.]+)", provider)
    shown.add((Decimal(inward), Decimal(outward)))
    (lowest,) = re.findall(r"from <strong>\$([0-9.]+)</strong> per million tokens", pricing)
    shown.add(next(prices for prices in (OLD, NEW) if prices[0] == Decimal(lowest)))
    return shown


async def listed_prices(alice: Buyer) -> tuple[Decimal, Decimal]:
    models = (await alice.client.get("/v1/models")).json()["data"]
    (listed,) = [each["pricing"] for each in models if each["id"] == "house/one"]
    return Decimal(listed["input"]) * 10**6, Decimal(listed["output"]) * 10**6


async def call(alice: Buyer, secret: str, text: str = "Hello") -> tuple[str, Decimal]:
    """Call the model: the id of the call, and what the answer says that it cost."""
    body = {"model": "house/one", "messages": [{"role": "user", "content": text}], "max_tokens": TOKENS_OUT}
    answer = await alice.client.post("/v1/chat/completions", json=body, headers=bearer(secret))
    assert answer.status_code == 200, answer.text
    return answer.headers["x-generation-id"], answer.json(parse_float=Decimal)["usage"]["cost"]


def cost(prices: tuple[Decimal, Decimal]) -> Decimal:
    return (TOKENS_IN * prices[0] + TOKENS_OUT * prices[1]) / 10**6


def rows_of(page: str) -> str:
    """The table of a receipt."""
    return page.partition('<div class="receipt">')[2].partition("</table>")[0]


def dollars(amount: Decimal) -> str:
    return f"${amount:.2f}"


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}
