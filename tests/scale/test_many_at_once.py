"""More calls at once than an account or a key can pay: exactly as many are answered as are paid for."""

import asyncio

import pytest

from pouch.base.money import ZERO, Money
from pouch.ledger.limits import limits_of
from scale import far_end
from scale.audit import audit
from scale.conftest import SecondServe
from scale.crowd import Call, Crowd, outcomes
from scale.far_end import Gate
from support.people import add_customer, add_limited_key, committing
from support.pouch import RunningPouch
from support.upstream import FakeUpstream

pytestmark = pytest.mark.anyio

CALLS = 1_000
AFFORDED = 100
EARLY = 20
WORDS = 40
NANOS_PER_CALL = WORDS * (1_000 + 2_000)
"""Of pouch/paid, which repeats each word."""


async def test_a_thousand_calls_at_once_on_credits_for_a_hundred(pouch: RunningPouch, people: Crowd) -> None:
    """A call is held at more than it costs, so the last ones that could be paid may be refused; none is given away."""
    credits_ = Money(AFFORDED * NANOS_PER_CALL)
    alice = await add_customer(pouch.ends.database_url, "alice-thousand@example.com", credits_)
    words = " ".join(["word"] * WORDS)
    replies = await people.at_once(
        [
            Call(
                pouch.url,
                alice.secret,
                "pouch/paid",
                words,
                words,
                max_tokens=WORDS,
                is_stream=number % 3 > 0,
                asks_usage=number % 3 == 1,
            )
            for number in range(CALLS)
        ]
    )
    said = outcomes(replies)
    assert said.keys() == {"answered", "402 credits"}
    assert 90 <= said["answered"] <= AFFORDED
    assert {reply.cost.nanos for reply in replies if reply.outcome == "answered"} == {NANOS_PER_CALL}
    await audit(pouch, alice, credits_, replies)


async def test_two_processes_never_sell_a_dollar_twice(
    pouch: RunningPouch, second: SecondServe, upstream: FakeUpstream, people: Crowd
) -> None:
    """The upstream answers nobody until a hundred calls wait there: every dollar is held, and no call more."""
    credits_ = Money(AFFORDED * far_end.cost_nanos())
    alice = await add_customer(pouch.ends.database_url, "alice-two@example.com", credits_)
    gate = upstream.script = Gate(opens_at=AFFORDED)
    calls = [
        far_end.call(
            (pouch, second)[number % 2].url, alice.secret, is_stream=number % 3 > 0, asks_usage=number % 3 == 1
        )
        for number in range(CALLS)
    ]
    # A few calls are under way in each process before the others come: else the quicker one may take every dollar.
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(people.at_once(calls[:EARLY]))
        await gate.grows_to(EARLY)
        rest = tasks.create_task(people.at_once(calls[EARLY:]))
    replies = [*first.result(), *rest.result()]
    assert outcomes(replies) == {"answered": AFFORDED, "402 credits": CALLS - AFFORDED}
    assert gate.arrived == AFFORDED
    assert {reply.call.url for reply in replies if reply.outcome == "answered"} == {pouch.url, second.url}
    replayed = await audit(pouch, alice, credits_, replies)
    assert replayed.held_most == credits_


@pytest.mark.parametrize("afforded", [1_000, 60])
async def test_each_key_stops_at_its_own_limit(
    pouch: RunningPouch, second: SecondServe, upstream: FakeUpstream, people: Crowd, afforded: int
) -> None:
    """Four keys of one account, all at once through two processes: each spends its limit, all of them the credits."""
    upstream.script = far_end.answer
    limits = (5, 10, 20, 40)
    credits_ = Money(afforded * far_end.cost_nanos())
    url = pouch.ends.database_url
    alice = await add_customer(url, f"alice-keys-{afforded}@example.com", credits_)
    keys = [(*await add_limited_key(url, alice, Money(limit * far_end.cost_nanos())), limit) for limit in limits]
    replies = await asyncio.gather(
        *(
            people.at_once(
                [
                    far_end.call((pouch, second)[number % 2].url, secret, is_stream=number % 3 > 0)
                    for number in range(60)
                ]
            )
            for _, secret, _ in keys
        )
    )
    everything = [reply for of_key in replies for reply in of_key]
    assert outcomes(everything)["answered"] == min(afforded, sum(limits))
    async with committing(url) as db:
        spent = {id_: limit.spent for id_, (limit,) in (await limits_of(db, [id_ for id_, *_ in keys])).items()}
    for (id_, _, limit), of_key in zip(keys, replies, strict=True):
        said = outcomes(of_key)
        assert said.keys() <= {"answered", "402 key_limit", "402 credits"}
        assert said["answered"] == limit if afforded > sum(limits) else said["answered"] <= limit
        assert spent[id_] == sum((reply.cost for reply in of_key), ZERO)
    await audit(pouch, alice, credits_, everything)
