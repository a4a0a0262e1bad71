import re
from datetime import UTC, datetime, timedelta

import pytest

from billing.conftest import open_site as open_site  # noqa: PLC0414 -- the fixture of the money pages
from billing.site import OpenSite, Site
from pouch.base.ids import new_id, show_id
from pouch.catalog.types import Counts
from pouch.usage.types import Call
from usage.calls import a_call, write

pytestmark = pytest.mark.anyio


async def _called(site: Site, *calls: Call) -> None:
    async with site.database.transaction() as db:
        await write(db, *calls)


def _words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("<main")[2].partition("</main>")[0]).split())


async def test_before_the_first_call_the_page_says_how_to_make_one(open_site: OpenSite) -> None:
    async with open_site(sells=False) as site, site.browser() as alice:
        page = (await alice.get("/usage")).text
        assert "No calls yet" in page
        assert "/v1/chat/completions" in page
        assert "pouch/free" in page


async def test_calls_are_listed_newest_first_with_their_figures(open_site: OpenSite) -> None:
    async with open_site(sells=False) as site, site.browser() as alice, site.browser("carol") as carol:
        now = datetime.now(UTC)
        harbor = site.people["alice"].organization_id
        counts = Counts(input=3117, cache_read=88_213, output=1904)
        await _called(
            site,
            a_call(harbor, cost="0.111175", counts=counts, model="a/dear", price_id=new_id(), ended=now),
            a_call(harbor, model="b/free", held="0", ended=now - timedelta(minutes=1)),
            a_call(harbor, model="c/failed", outcome="failed", price_id=new_id(), ended=now - timedelta(minutes=2)),
        )
        words = _words((await alice.get("/usage")).text)
        assert "Spent in 30 days $0.11 Calls 3 Tokens in 91,350 Tokens out 1,914" in words
        assert "91,330 88,213 1,904 $0.111175 Why" in words
        calls = words.partition("Explanation")[2]
        assert calls.index("a/dear") < calls.index("b/free") < calls.index("c/failed")
        assert "Free" in calls
        assert "No answer, no charge" in calls
        assert "No charge" in calls
        assert "No calls yet" in (await carol.get("/usage")).text


async def test_a_choice_is_in_the_address_and_holds_for_everything(open_site: OpenSite) -> None:
    async with open_site(sells=False) as site, site.browser() as alice:
        now, key_id = datetime.now(UTC), new_id()
        harbor = site.people["alice"].organization_id
        await _called(
            site,
            a_call(harbor, cost="1", model="one", key_id=key_id, ended=now),
            a_call(harbor, cost="2", model="two", ended=now - timedelta(days=20)),
        )
        for query, spent in [
            ("", "$3.00"),
            ("?days=7", "$1.00"),
            ("?days=90&model=two", "$2.00"),
            (f"?key={show_id('key', key_id)}", "$1.00"),
            ("?days=x&key=y&model=&before=z", "$3.00"),
        ]:
            page = (await alice.get(f"/usage{query}")).text
            assert re.search(r'<dd class="money"><data value="[0-9.]+">([^<]+)', page)[1] == spent, query  # type: ignore[index]
        assert "No calls here" in (await alice.get("/usage?model=three")).text


async def test_a_tasks_calls_are_shown_alone_and_lead_to_each_other(open_site: OpenSite) -> None:
    """An agent's task takes many calls: its sum is right though whole days are summed up without regard to tasks."""
    async with open_site(sells=False) as site, site.browser() as alice, site.browser("carol") as carol:
        now, harbor, task = datetime.now(UTC), site.people["alice"].organization_id, "0d9e5f1c-8b7a-4c52"
        call = a_call(harbor, cost="1", task=task, app="Roo Code 3.52.1", ended=now)
        await _called(
            site,
            call,
            a_call(harbor, cost="2", task=task, ended=now - timedelta(days=20)),
            a_call(harbor, cost="4", task="another", ended=now),
            a_call(harbor, cost="8", ended=now),
        )
        page = (await alice.get("/usage")).text
        assert f'href="/usage?task={task}"' in page
        of_task = (await alice.get(f"/usage?task={task}")).text
        assert "Spent in 30 days $3.00 Calls 2" in _words(of_task)
        assert f"Only the calls of task {task}." in _words(of_task)
        assert "Spent in 7 days $1.00" in _words((await alice.get(f"/usage?days=7&task={task}")).text)
        receipt = (await alice.get(f"/usage/{show_id('gen', call.id)}")).text
        assert f"Program Roo Code 3.52.1 Task {task}" in _words(receipt)
        assert "No calls" in (await carol.get(f"/usage?task={task}")).text


async def test_older_calls_are_a_page_further(open_site: OpenSite) -> None:
    async with open_site(sells=False) as site, site.browser() as alice:
        now, harbor = datetime.now(UTC), site.people["alice"].organization_id
        # Many at the same moment: the page before ends in the middle of them.
        await _called(site, *(a_call(harbor, model=f"m{number}", ended=now) for number in range(30)))
        first = (await alice.get("/usage")).text
        older = re.search(r'href="(/usage\?[^"]*before=[^"#]+)', first)
        assert older
        second = (await alice.get(older[1].replace("&amp;", "&"))).text
        seen = re.findall(r'href="(/usage/gen_[0-9a-v]+)"', first) + re.findall(
            r'href="(/usage/gen_[0-9a-v]+)"', second
        )
        assert len(seen) == len(set(seen)) == 30


async def test_a_calls_page_explains_it_and_is_its_organizations_alone(open_site: OpenSite) -> None:
    async with open_site(sells=False) as site, site.browser() as alice, site.browser("carol") as carol:
        call = a_call(site.people["alice"].organization_id, model="<b>free</b>", held="0", outcome="client_gone")
        await _called(site, call)
        address = f"/usage/{show_id('gen', call.id)}"
        page = (await alice.get(address)).text
        assert "Why this price" in page
        assert "Stopped by the caller" in page
        assert "<b>free</b>" not in page
        assert (await carol.get(address)).status_code == 404
        for name in ("gen_x", "pur_00000000000000000000000000", show_id("gen", new_id())):
            assert (await alice.get(f"/usage/{name}")).status_code == 404


async def test_the_same_figures_stand_in_a_table(open_site: OpenSite) -> None:
    async with open_site(sells=False) as site, site.browser() as alice:
        now, harbor = datetime.now(UTC), site.people["alice"].organization_id
        await _called(site, *(a_call(harbor, cost="0.5", model=f"m{number}", ended=now) for number in range(5)))
        page = (await alice.get("/usage?days=7")).text
        table = page.partition('<details class="days">')[2].partition("</details>")[0]
        assert table.count("<tr>") == 8
        assert "Other models" in table
        assert "<td>$2.50</td>" in table
        assert page.count('role="img"') == 2 + page.count('class="brand__word"')


async def test_nobody_is_sent_to_sign_in(open_site: OpenSite) -> None:
    async with open_site(sells=False) as site, site.browser(None) as stranger:
        for path in ("/usage", "/usage/gen_x"):
            assert (await stranger.get(path)).status_code == 303
