"""What the database says after the storm, held against what the clients have on disk."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from pouch.base.database import Connection
from pouch.base.ids import show_id
from pouch.base.money import Money
from pouch.identity.keys import add_key
from pouch.identity.people import add_person, find_person
from pouch.ledger.check import check_now
from pouch.ledger.grants import grant
from support.load import NANOS_PER_TOKEN_IN, NANOS_PER_TOKEN_OUT, Answer
from support.pouch import POLL_S

_CHARGES = """
SELECT coalesce(t.id, u.id), a.organization_id, u.organization_id, t.amount_nanos, u.charged_nanos, u.cost_nanos,
       u.tokens_input, u.tokens_output
  FROM (SELECT * FROM ledger_transfers WHERE kind = 'inference') AS t
  FULL JOIN (SELECT * FROM usage_calls WHERE outcome <> 'failed') AS u ON u.id = t.id
  LEFT JOIN ledger_accounts AS a ON a.id = t.debit_account_id
"""
_OWNERS = """
SELECT o.id, p.email FROM identity_organizations AS o JOIN identity_people AS p ON p.id = o.personal_of
"""
_OPEN = "SELECT count(*) FROM ledger_holds WHERE state = 'open' AND placed_at < %s"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Sentences about what does not agree; `unanswered` are generation ids that were charged and never told."""

    lost: list[str]
    wrong: list[str]
    unanswered: list[str]
    differences: list[str]


def say(text: str) -> None:
    """Tell what happens; pytest shows it when the test fails, or with -s."""
    sys.stdout.write(f"{text}\n")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[AsyncConnection[TupleRow]]:
    """A connection, as soon as the database answers; pytest's timeout is the limit."""
    while True:
        try:
            connection = await AsyncConnection.connect(url, options="-c timezone=UTC")
        except psycopg.OperationalError:
            await asyncio.sleep(POLL_S)
        else:
            break
    async with connection:
        yield connection


async def add_customers(url: str, credits_usd: Mapping[str, str]) -> dict[str, str]:
    """People with so many dollars each; an API key for each."""
    secrets = {}
    async with connected(url) as db:
        for email, usd in credits_usd.items():
            person = await add_person(db, email, None, verified=True, welcome=Money.parse(usd))
            _, secrets[email] = await add_key(db, person, "test")
    return secrets


async def give(db: Connection, email: str, usd: str, *, key: str) -> None:
    """Credits in the middle of the storm."""
    person = await find_person(db, email)
    assert person is not None
    await grant(db, person.organization_id, Money.parse(usd), key=key, note="A little more")


async def holds_before(db: Connection, moment: datetime) -> int:
    """How many holds are open that were placed before a moment."""
    row = await (await db.execute(_OPEN, (moment,))).fetchone()
    assert row is not None
    count: int = row[0]
    return count


async def expired_holds(db: Connection) -> list[tuple[datetime, datetime]]:
    """When each hold that was given back uncharged was placed, and when it was given back."""
    found = await db.execute("SELECT placed_at, closed_at FROM ledger_holds WHERE state = 'expired' ORDER BY placed_at")
    return [(placed_at, closed_at) for placed_at, closed_at in await found.fetchall()]


async def judge(db: Connection, answers: Sequence[Answer]) -> Verdict:
    """Hold every answer that a client has against usage and ledger, and these against each other."""
    # In one moment, because check_now reads one.
    differences = await check_now(db)
    owners: dict[UUID, str] = dict(await (await db.execute(_OWNERS)).fetchall())
    charges: dict[UUID, tuple[str, int, int, int]] = {}
    for id_, payer, caller, moved, charged, cost, tokens_in, tokens_out in await (
        await db.execute(_CHARGES)
    ).fetchall():
        shown = show_id("gen", id_)
        if payer != caller or not moved == charged == cost:
            differences.append(f"{shown}: the ledger moved {moved}, usage says {charged} of {cost}")
        elif cost != tokens_in * NANOS_PER_TOKEN_IN + tokens_out * NANOS_PER_TOKEN_OUT:
            differences.append(f"{shown}: {tokens_in} and {tokens_out} tokens cost {cost}")
        else:
            charges[id_] = (owners[payer], cost, tokens_in, tokens_out)
    lost, wrong = [], []
    for answer in answers:
        charge = charges.get(answer.generation_id)
        told = (answer.email, answer.cost_nanos, answer.prompt_tokens, answer.completion_tokens)
        if charge is None:
            lost.append(f"{answer.shown_id} was answered to {answer.email} and is not charged")
        elif charge != told:
            wrong.append(f"{answer.shown_id} is charged {charge}, but the client was told {told}")
    unanswered = charges.keys() - {answer.generation_id for answer in answers}
    return Verdict(lost, wrong, [show_id("gen", id_) for id_ in sorted(unanswered)], differences)
