"""A call that does not fit is made smaller, never below 1,024 tokens, and says so; its hold still bounds its cost."""

import asyncio
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.test_listing import PAID
from pouch.base.clock import system_clock
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.catalog.cost import cost_nanos
from pouch.catalog.types import Counts, Model, Price, Upstream
from pouch.gateway.affordable import LEAST_TOKENS, lowered
from pouch.gateway.request import chat_request
from pouch.gateway.settlement import Settlement
from pouch.identity.types import Caller
from pouch.ledger.accounts import open_receivable
from pouch.ledger.limits import set_limit
from pouch.ledger.operations import Hold, Receivable, Refused, Release, Transfer
from pouch.ledger.posting import post
from support.gateway import Gateway, events_of, running_gateway
from support.upstream import Exchange, chunk, completion, usage, usage_chunk

pytestmark = pytest.mark.anyio


def model_at(nanos: dict[str, int], *, max_tokens: int = 50_000, dialect: Any = "as_is") -> Model:
    price = Price(PAID.id, nanos, PAID.created_at)  # type: ignore[arg-type]  # only its numbers matter
    upstream = Upstream("up", "openai", "http://127.0.0.1:9", dialect=dialect)
    return Model("m", "M", "", "m", 100_000, max_tokens, (), upstream, "m", price, PAID.created_at)


@given(
    st.fixed_dictionaries(
        {"input": st.integers(0, 10**11), "output": st.integers(0, 10**11)},
        optional={
            "image": st.integers(0, 10**15),
            "reasoning": st.integers(0, 10**11),
            "request": st.integers(0, 10**15),
        },
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "max_tokens": st.integers(1, 100_000),
            "max_completion_tokens": st.integers(1, 100_000),
            "n": st.integers(1, 8),
            "prediction": st.just({"type": "content", "content": "x" * 300}),
        },
    ),
    st.integers(0, 2),
    st.integers(0, 10**11),
    st.sampled_from(["as_is", "openai", "plain"]),
)
def test_a_lowered_call_fits_is_the_largest_and_bounds_whatever_comes(
    nanos: dict[str, int], asked: dict[str, Any], images: int, budget: int, dialect: str
) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
    content = [{"type": "text", "text": "Hello"}, *[image] * images]
    model = model_at(nanos, dialect=dialect)
    request = chat_request({"model": "m", "messages": [{"role": "user", "content": content}], **asked}, model)
    smaller = lowered(request, budget)
    most = request.output.each
    if smaller is None:
        assert request.worst_case_with(min(most, LEAST_TOKENS)) > budget
        return
    tokens = smaller.output.each
    assert min(most, LEAST_TOKENS) <= tokens <= most
    assert smaller.worst_case_nanos <= budget
    assert tokens == most or request.worst_case_with(tokens + 1) > budget
    # What the upstream is told is what is held for, under the names that it knows.
    told = orjson.loads(smaller.forward)
    names = {"as_is": asked.keys() & {"max_tokens", "max_completion_tokens"} or {"max_tokens"}}
    names |= {"openai": {"max_completion_tokens"}, "plain": {"max_tokens"}}
    assert told.keys() & {"max_tokens", "max_completion_tokens"} == names[dialect]
    given = max(told[name] for name in names[dialect])
    assert given == tokens if len(asked.keys() & {"max_tokens", "max_completion_tokens"}) < 2 else given <= tokens
    assert {k: v for k, v in told.items() if "max" not in k} == {
        k: v for k, v in orjson.loads(request.forward).items() if "max" not in k
    }
    answers = asked.get("n", 1)
    output = tokens * answers + request.output.predicted
    for counts in (
        Counts(input=request.bound.tokens_max, output=output, image=images if "image" in nanos else 0),
        Counts(input=1, output=0, reasoning=output),
    ):
        assert cost_nanos(model.price, counts) <= max(smaller.worst_case_nanos, 1)


def fitting(tokens: int) -> Money:
    """Credits that pay for the question of these tests and so many tokens more."""
    request = chat_request(
        {"model": "m", "messages": [{"role": "user", "content": "Say something"}]},
        model_at({"input": 10**9, "output": 2 * 10**9}),
    )
    return Money(request.worst_case_with(tokens))


async def until_full(exchange: Exchange) -> None:
    """An upstream that says as much as it may."""
    most = exchange.body["max_tokens"]
    if exchange.body.get("stream"):
        events = [chunk({"content": "x"}), chunk({}, "length"), usage_chunk(usage(10, most)), b"[DONE]"]
        await exchange.stream(events)
    else:
        document: Any = completion("x", usage(10, most))
        document["choices"][0]["finish_reason"] = "length"
        await exchange.answer(document)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_call_that_does_not_fit_is_made_smaller_and_says_so(database_url: str, *, is_stream: bool) -> None:
    async with running_gateway(database_url, credits_usd=fitting(1500).decimal()) as gateway:
        gateway.upstream.script = until_full
        answer = await gateway.call(max_tokens=4000, stream=is_stream, stream_options=None)
        assert (answer.status_code, answer.headers["x-max-tokens-lowered"]) == (200, "1500")
        last = events_of(answer.content)[-2] if is_stream else answer.json()
        assert last["choices"][0]["finish_reason"] == "length"
        assert last["usage"]["max_tokens_lowered"] == {"asked": 4000, "given": 1500, "limit_source": "credits"}
        assert Decimal(str(last["usage"]["cost"])) == Decimal("0.00301")
        assert gateway.upstream.seen[0]["max_tokens"] == 1500
        has = await gateway.at_rest()
        assert has.posted == fitting(1500) - Money(10_000 + 1500 * 2000)


async def test_it_is_never_made_smaller_than_1024_tokens(database_url: str) -> None:
    async with running_gateway(database_url, credits_usd=fitting(LEAST_TOKENS - 1).decimal()) as gateway:
        refused = await gateway.call(max_tokens=4000)
        assert refused.status_code == 402
        assert refused.json()["error"]["metadata"]["affordable_tokens"] == LEAST_TOKENS - 1
        await gateway.grant((fitting(LEAST_TOKENS) - fitting(LEAST_TOKENS - 1)).decimal())
        answer = await gateway.call(max_tokens=4000)
        assert (answer.status_code, answer.headers["x-max-tokens-lowered"]) == (200, "1024")


async def test_a_short_answer_is_not_made_shorter(database_url: str) -> None:
    async with running_gateway(database_url, credits_usd=fitting(499).decimal()) as gateway:
        assert (await gateway.call(max_tokens=500)).status_code == 402
        fits = await gateway.call(max_tokens=499)
        assert fits.status_code == 200
        assert "x-max-tokens-lowered" not in fits.headers
        assert "max_tokens_lowered" not in fits.json()["usage"]


async def test_who_asks_for_no_bound_gets_what_can_be_paid(database_url: str) -> None:
    async with running_gateway(database_url, credits_usd=fitting(2000).decimal()) as gateway:
        answer = await gateway.call(max_tokens=None)
        assert answer.headers["x-max-tokens-lowered"] == "2000"
        assert gateway.upstream.seen[0]["max_tokens"] == 2000


async def test_a_limit_lowers_as_credits_do_and_the_tightest_counts(gateway: Gateway) -> None:
    async with gateway.database.transaction() as db:
        await set_limit(db, gateway.alice.organization_id, kind="organization", cap=fitting(1100))
        await set_limit(db, gateway.key.id, kind="key", period="day", cap=fitting(3000))
    answer = await gateway.call(max_tokens=4000)
    assert answer.headers["x-max-tokens-lowered"] == "1100"
    assert answer.json()["usage"]["max_tokens_lowered"] == {
        "asked": 4000,
        "given": 1100,
        "limit_source": "organization_limit",
    }


async def test_who_owes_or_was_revoked_gets_nothing_smaller(gateway: Gateway) -> None:
    """Both refuse with nothing available; a free hold of a call that costs nothing must not slip through."""
    async with gateway.database.transaction() as db:
        await open_receivable(db, gateway.alice.organization_id)
        debt = Transfer("debt", Receivable(gateway.alice.organization_id), "stripe_clearing", 1, "dispute")
        await post(db, [debt])
    request = chat_request(
        {"model": "m", "messages": [{"role": "user", "content": "hi"}]}, model_at({"input": 0, "output": 0})
    )
    assert lowered(request, 0) is not None
    answer = await gateway.call(max_tokens=4000)
    assert answer.json()["error"]["metadata"]["limit_source"] == "debt"
    caller = Caller(gateway.key.id, gateway.alice.organization_id, gateway.alice.id, frozenset())
    settlement = Settlement(gateway.writer, caller, request, new_id(), system_clock, system_clock())
    for source in ("debt", "blocked"):
        assert not settlement.lower(Refused(source, 1, 0, 0, gateway.alice.organization_id))
    assert settlement.lower(Refused("credits", 1, 0, 0, gateway.alice.organization_id))


async def test_many_calls_at_once_never_spend_more_than_there_is(database_url: str) -> None:
    """Forty long calls, on credits for three of them: each takes what is left, or is refused."""
    three = fitting(4000) + fitting(4000) + fitting(4000)
    async with running_gateway(database_url, credits_usd=three.decimal()) as gateway:
        gateway.upstream.script = until_full
        before = (await gateway.balance()).posted
        answers = await asyncio.gather(*(gateway.call(max_tokens=4000, stream=number % 2 == 0) for number in range(40)))
        assert {answer.status_code for answer in answers} == {200, 402}
        told = [
            Decimal(str((events_of(answer.content)[-2] if number % 2 == 0 else answer.json())["usage"]["cost"]))
            for number, answer in enumerate(answers)
            if answer.status_code == 200
        ]
        left = (await gateway.at_rest()).posted
        assert Decimal((before - left).decimal()) == sum(told)
        assert all(call.charged_nanos == call.cost_nanos for call in await gateway.calls())


async def test_what_others_hold_is_waited_for_before_it_is_made_smaller(database_url: str) -> None:
    """Five seconds at most, once: the smaller call does not stand in line again."""
    async with running_gateway(database_url, credits_usd=fitting(4000).decimal()) as gateway:
        others = fitting(4000) - fitting(1300)
        blocking = Hold(gateway.key.id, gateway.alice.organization_id, others.nanos)
        await gateway.writer.hold(blocking)
        answer = await gateway.call(max_tokens=4000)
        assert (answer.status_code, answer.headers["x-max-tokens-lowered"]) == (200, "1300")
        assert 5 <= answer.elapsed.total_seconds() < 8
        await gateway.writer.release(Release(blocking))
        await gateway.at_rest()
