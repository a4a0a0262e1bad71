"""The long form: waves of callers over both processes, who stay or leave, while credits come in."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from pouch.base.money import ZERO, Money
from pouch.ledger.check import check_now
from pouch.ledger.errors import LedgerBusy
from pouch.ledger.grants import grant
from scale import far_end
from scale.conftest import SecondServe
from scale.crowd import Call, Crowd, Reply, cost_of, outcomes
from scale.replay import replay
from support.people import (
    Customer,
    add_customer,
    add_limited_key,
    committing,
    funds_of,
    until_nothing_is_held,
)
from support.pouch import RunningPouch
from support.upstream import FakeUpstream

pytestmark = [pytest.mark.anyio, pytest.mark.long]

SEED = 4
CUSTOMERS = 8
WAVES = 25
CALLS_PER_WAVE = 400
GRANT_CALLS_MAX = 60
"""A wave's grant to each customer is worth up to so many calls; a wave asks for about fifty of each."""
LIMIT_CALLS = 200
_CHARGED = "SELECT coalesce(sum(charged_nanos), 0)::bigint, count(*) FROM usage_calls WHERE organization_id = %s"
_OVERRUN = """
SELECT count(*) FROM ledger_transfers AS t JOIN usage_calls AS u ON u.id = t.cause
 WHERE t.kind = 'overrun' AND u.organization_id = %s
"""


@dataclass
class Payer:
    """A customer with an unlimited and a limited key, what they were given and what they were told."""

    customer: Customer
    secrets: tuple[str, str]
    given: Money = ZERO
    replies: list[Reply] = field(default_factory=list)


async def test_waves_of_callers_over_two_processes(
    pouch: RunningPouch, second: SecondServe, upstream: FakeUpstream, people: Crowd
) -> None:
    """Ten thousand calls, one in ten hangs up in the middle; each account explains itself to the nano-dollar."""
    upstream.script = far_end.answer
    url, rng = pouch.ends.database_url, random.Random(SEED)
    payers = [await new_payer(url, number) for number in range(CUSTOMERS)]
    for wave in range(WAVES):
        calls = [new_call(rng, (pouch.url, second.url), payers) for _ in range(CALLS_PER_WAVE)]
        grants = [(payer, Money(rng.randint(1, GRANT_CALLS_MAX) * far_end.cost_nanos())) for payer in payers]
        async with asyncio.TaskGroup() as group:
            for payer, call, leaves in calls:
                group.create_task(one(people, payer, call, leaves=leaves))
            for payer, amount in grants:
                group.create_task(give(url, payer, amount, wave))
    for payer in payers:
        await explains_itself(url, payer)
    async with committing(url) as db:
        assert await check_now(db) == []
    replies = [reply for payer in payers for reply in payer.replies]
    said = outcomes(replies)
    assert sum(said.values()) == WAVES * CALLS_PER_WAVE
    # Where the machine is busy with other things, the database may stall; then that is said, and nothing charged.
    assert {reply.text for reply in replies if reply.outcome == "503 busy"} <= {LedgerBusy().message}
    assert said.keys() - {"503 busy"} == {"answered", "left", "402 credits", "402 key_limit"}


async def explains_itself(url: str, payer: Payer) -> None:
    """What is gone is what was told, and what was charged to those who did not stay to hear it."""
    await until_nothing_is_held(url, payer.customer)
    spent = payer.given - (await funds_of(url, payer.customer)).posted
    said = outcomes(payer.replies)
    async with committing(url) as db:
        ((charged, calls),) = await (await db.execute(_CHARGED, (payer.customer.organization_id,))).fetchall()
        ((overruns,),) = await (await db.execute(_OVERRUN, (payer.customer.organization_id,))).fetchall()
        replayed = await replay(db, payer.customer.organization_id)
    assert replayed.wrong == []
    assert spent == Money(charged)
    assert calls == said["answered"] + said["left"]
    assert overruns == 0
    assert {reply.cost.nanos for reply in payer.replies if reply.outcome == "answered"} == {far_end.cost_nanos()}
    unheard = spent - cost_of(payer.replies)
    assert ZERO < unheard < Money(said["left"] * far_end.cost_nanos())


def new_call(rng: random.Random, urls: Sequence[str], payers: Sequence[Payer]) -> tuple[Payer, Call, bool]:
    """A random call of a random key through a random process, and whether its caller hangs up."""
    payer = rng.choice(payers)
    leaves = rng.random() < 0.1
    return (
        payer,
        far_end.call(
            rng.choice(urls),
            rng.choice(payer.secrets),
            question=far_end.ENDLESS if leaves else far_end.QUESTION,
            is_stream=leaves or rng.random() < 0.6,
            asks_usage=leaves or rng.random() < 0.5,
        ),
        leaves,
    )


async def one(people: Crowd, payer: Payer, call: Call, *, leaves: bool) -> None:
    payer.replies.append(await (people.leave(call) if leaves else people.ask(call)))


async def give(url: str, payer: Payer, amount: Money, wave: int) -> None:
    organization = payer.customer.organization_id
    async with committing(url) as db:
        assert await grant(db, organization, amount, key=f"wave {wave} {organization}", note="A little more")
    payer.given += amount


async def new_payer(url: str, number: int) -> Payer:
    customer = await add_customer(url, f"payer-{number}@example.com", ZERO)
    _, limited = await add_limited_key(url, customer, Money(LIMIT_CALLS * far_end.cost_nanos()))
    return Payer(customer, (customer.secret, limited))
