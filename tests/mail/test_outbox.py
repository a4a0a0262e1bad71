"""A letter exists exactly when the transaction it speaks of was committed, once per cause."""

import pytest
from psycopg import AsyncConnection, Rollback

from pouch.base.database import Connection
from pouch.base.errors import InvalidInput
from pouch.mail.outbox import Letter, address, undelivered, write

pytestmark = pytest.mark.anyio

ALICE = Letter(key="purchase:1", to="alice@harbor.example", kind="purchase", context={"amount": "$10.00"})


async def test_a_letter_is_written_once_per_key(db: Connection) -> None:
    """The webhook and the return page both say that Alice paid: she gets one letter."""
    assert await write(db, ALICE)
    assert not await write(db, Letter(key=ALICE.key, to="alice@harbor.example", kind="purchase", context={}))

    assert await letters(db) == [("purchase:1", {"amount": "$10.00"})]
    assert await bells(db) == 1


async def test_a_letter_of_a_rolled_back_transaction_is_never_sent(db: Connection) -> None:
    async with db.transaction():
        await write(db, ALICE)
        raise Rollback

    assert await letters(db) == []
    assert await bells(db) == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "@harbor.example",
        "alice@",
        "alice@harbor.example\r\nBcc: carol@harbor.example",
        "alice@harbor.example\n",
        "alice@harbor.example, carol@harbor.example",
        "Alice <alice@harbor.example>",
        "alice@harbor.example@carol.example",
        "ali ce@harbor.example",
        "alice\x00@harbor.example",
        "alice\u2028@harbor.example",
        f"{'a' * 250}@harbor.example",
    ],
)
async def test_what_is_not_one_address_is_refused(db: Connection, text: str) -> None:
    with pytest.raises(InvalidInput):
        await write(db, Letter(key="k", to=text, kind="purchase", context={}))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("alice@harbor.example", "alice@harbor.example"),
        ("Alice+shop@Harbor.example", "Alice+shop@Harbor.example"),
        ("alice@localhost", "alice@localhost"),
        ("jürgen@harbor.example", "jürgen@harbor.example"),
        ("alice@bücher.example", "alice@xn--bcher-kva.example"),
    ],
)
def test_an_address_is_kept_as_it_is_but_for_the_host(text: str, read: str) -> None:
    assert address(text) == read


async def test_a_kind_is_a_name_and_never_a_path(db: Connection) -> None:
    with pytest.raises(ValueError, match="kind of letter"):
        await write(db, Letter(key="k", to="alice@harbor.example", kind="../purchase", context={}))


async def test_the_operator_sees_what_was_given_up(db: Connection) -> None:
    await write(db, ALICE)
    assert await undelivered(db) == []
    await db.execute(
        "UPDATE mail_letters SET state = 'failed', due_at = NULL, attempts = 9, error = '550 no such user'"
    )

    (letter,) = await undelivered(db)

    assert (letter.to, letter.attempts, letter.error) == ("alice@harbor.example", 9, "550 no such user")


async def letters(db: AsyncConnection) -> list[tuple[str, dict[str, str]]]:
    return [
        (key, context) for key, context in await (await db.execute("SELECT key, context FROM mail_letters")).fetchall()
    ]


async def bells(db: AsyncConnection) -> int:
    row = await (await db.execute("SELECT count(*) FROM procrastinate_jobs")).fetchone()
    assert row
    return int(row[0])
