"""The playground: calls of a signed-in person, held, charged and recorded like calls with a key."""

import json

import httpx
import pytest

from pouch.base.money import Money
from pouch.identity.playground import playground_key_id
from support.site import OpenSite

pytestmark = pytest.mark.anyio

HELLO = {"model": "pouch/paid", "messages": [{"role": "user", "content": "one two three"}], "max_tokens": 256}
FORM = {"model": "pouch/paid", "prompt": "one two three", "max_tokens": "256", "attempt": "first"}
COST = Money.parse("0.000009")  # three words in at $1 and three out at $2 per million


async def test_an_answer_streams_and_is_charged_to_the_persons_organization(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser("alice") as alice:
        asked = HELLO | {"stream": True, "stream_options": {"include_usage": True}}
        answer = await alice.post("/api/try", json=asked)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
        text = "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"])
        assert text == "one two three"
        assert events[-1]["usage"]["cost"] == 0.000009
        assert await site.available() == Money.parse("10") - COST
        (call,) = await site.calls()
        people = site.people["alice"]
        assert (call.person_id, call.organization_id) == (people.person_id, people.organization_id)
        assert call.key_id == playground_key_id(people.person_id) != people.person_id
        balance = await alice.get("/api/try/balance")
        assert balance.json() == {"available": "$9.99"}


async def test_the_form_works_without_script(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser("alice") as alice:
        page = await alice.post("/try", data=FORM)
        assert page.status_code == 200
        assert "one two three</div>" in page.text
        assert "$0.000009" in page.text
        assert "Available</span> <span" in page.text
        assert "$9.99" in page.text
        assert len(await site.calls()) == 1


async def test_the_same_form_sent_again_is_not_charged_again(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser("alice") as alice:
        assert (await alice.post("/try", data=FORM)).status_code == 200
        again = await alice.post("/try", data=FORM)
        assert again.status_code == 409
        assert "Nothing was sent or charged again." in again.text
        assert await site.available() == Money.parse("10") - COST


async def test_free_models_cost_nothing_and_say_so(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser("carol") as carol:
        page = await carol.post("/try", data=FORM | {"model": "pouch/free"})
        assert page.status_code == 200
        assert ">Free</dd>" in page.text
        (call,) = await site.calls("carol")
        assert call.charged_nanos == 0


async def test_without_credits_the_page_says_how_much_is_missing(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser("carol") as carol:
        page = await carol.post("/try", data=FORM)
        assert page.status_code == 402
        assert "Not enough credits" in page.text
        assert '<span data-part="has">$0.00</span> is available' in page.text
        assert await site.calls("carol") == []


async def test_a_stranger_is_sent_to_sign_in_and_programs_are_told(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as stranger:
        page = await stranger.get("/try?model=pouch/paid")
        assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=%2Ftry%3Fmodel%3Dpouch%2Fpaid")
        assert (await stranger.post("/try", data=FORM)).status_code == 303
        assert (await stranger.post("/api/try", json=HELLO)).status_code == 401
        assert (await stranger.get("/api/try/balance")).status_code == 401


async def test_an_unverified_person_calls_nothing(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser("unverified") as new:
        assert "Open the link in our mail first" in (await new.get("/try")).text
        assert (await new.post("/try", data=FORM | {"model": "pouch/free"})).status_code == 403
        assert (await new.post("/api/try", json=HELLO | {"model": "pouch/free"})).status_code == 403
        assert await site.calls("unverified") == []


async def test_another_site_cannot_spend_somebodys_credits(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser("alice") as alice:
        for headers in ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}):
            assert (await alice.post("/api/try", json=HELLO, headers=headers)).status_code == 403
            assert (await alice.post("/try", data=FORM, headers=headers)).status_code == 403
        assert await site.available() == Money.parse("10")


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"prompt": " "}, 400),
        ({"model": "none"}, 404),
        ({"max_tokens": "99999999"}, 200),
        ({"attempt": "x" * 300}, 400),
    ],
)
async def test_a_form_that_was_tampered_with(open_site: OpenSite, changed: dict[str, str], status: int) -> None:
    async with open_site() as site, site.browser("alice") as alice:
        assert (await alice.post("/try", data=FORM | changed)).status_code == status
        for call in await site.calls():
            assert call.held_nanos <= 1024 * 2000 + 1_000_000


async def test_a_prompt_that_looks_like_markup_is_text(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser("alice") as alice:
        page = (await alice.post("/try", data=FORM | {"prompt": "<img src=x onerror=alert(1)> two three"})).text
        assert "<img" not in page
        assert page.count("&lt;img src=x") == 2


async def test_the_chosen_model_stays_chosen(open_site: OpenSite) -> None:
    def chosen(page: httpx.Response) -> str:
        before, _, _ = page.text.partition(" selected>")
        return before.rpartition('<option value="')[2].partition('"')[0]

    async with open_site() as site, site.browser("alice") as alice:
        assert chosen(await alice.get("/try")) == "pouch/free"
        assert chosen(await alice.get("/try?model=pouch/coder")) == "pouch/coder"
        assert chosen(await alice.get("/try?model=none")) == "pouch/free"
        assert chosen(await alice.post("/try", data=FORM)) == "pouch/paid"
