"""Each letter arrives at least once, whatever is killed, and is shown as sent once."""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from mail.fake_relay import FakeRelay
from pouch.base.database import Database
from pouch.jobs.registry import Jobs
from pouch.mail.compose import Sender
from pouch.mail.jobs import RETRIES, Postman
from pouch.mail.outbox import Letter, forget, undelivered, write
from pouch.mail.sending import Relay
from pouch.mail.templates import Templates

pytestmark = pytest.mark.anyio

WORKER = Path(__file__).with_name("postman_worker.py")
HELLO = Letter(key="hello:1", to="alice@harbor.example", kind="hello", context={"greeting": "Good day"})


async def test_a_letter_is_sent_soon_after_the_commit(database: Database, postman: Postman, relay: FakeRelay) -> None:
    """From the outbox through the bell to the relay, with nothing but the product in between."""
    jobs = Jobs(database)
    postman.register(jobs)
    relay.hold_at = "QUIT"
    stop = asyncio.Event()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(jobs.run(stop))
        await written(database, HELLO)
        await relay.reached.wait()
        stop.set()
    assert relay.accepted[0]["To"] == "alice@harbor.example"
    assert relay.accepted[0]["Subject"] == "Good day from Pouch"


async def test_a_sent_letter_is_not_sent_again(database: Database, postman: Postman, relay: FakeRelay) -> None:
    letter_id = await written(database, HELLO)

    for _ in range(3):
        await postman.send(letter_id)

    assert len(relay.accepted) == 1
    assert await row(database, "state, due_at, lease_until, attempts, sent_at IS NOT NULL") == (
        "sent", None, None, 1, True,
    )  # fmt: skip


@pytest.mark.parametrize("step", ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"])
async def test_a_sender_that_is_killed_on_the_way_is_followed_by_another(
    database: Database, postman: Postman, relay: FakeRelay, step: str
) -> None:
    """Killed after its claim, within the conversation, and after the relay took the letter but before that is written.

    While the lease lasts nobody else tries; afterwards the next one does. The last case arrives twice, with one id.
    """
    letter_id = await written(database, HELLO)
    relay.hold_at = step
    worker = await start_worker(database.url, relay.port, letter_id)
    async with asyncio.timeout(30):
        await relay.reached.wait()
    worker.send_signal(signal.SIGKILL)
    await worker.wait()
    relay.hold_at = None

    await postman.send(letter_id)
    assert await row(database, "state, attempts, sent_at") == ("sending", 1, None)
    await change(database, "UPDATE mail_letters SET lease_until = now() - interval '1 second'")
    await postman.send(letter_id)

    assert len(relay.accepted) == (2 if step == "QUIT" else 1)
    assert len({message["Message-ID"] for message in relay.accepted}) == 1
    assert await row(database, "state, attempts, sent_at IS NOT NULL") == ("sent", 2, True)


async def test_two_senders_send_a_letter_once(database: Database, postman: Postman, relay: FakeRelay) -> None:
    letter_id = await written(database, HELLO)
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(postman.send(letter_id))
    assert len(relay.accepted) == 1


async def test_a_sender_that_lost_its_claim_does_not_write(
    database: Database, postman: Postman, relay: FakeRelay
) -> None:
    """It was frozen for longer than its lease; another one has sent the letter meanwhile, and its word stands."""
    letter_id = await written(database, HELLO)
    relay.answers["RCPT"] = "550 5.1.1 No such user"
    relay.hold_at = "MAIL"
    async with asyncio.TaskGroup() as group:
        frozen = group.create_task(postman.send(letter_id))
        await relay.reached.wait()
        await change(database, "UPDATE mail_letters SET epoch = epoch + 1, attempts = 7")
        frozen.cancel()
    assert await row(database, "state, attempts") == ("sending", 7)

    await change(database, "UPDATE mail_letters SET lease_until = NULL, due_at = now(), state = 'queued'")
    relay.hold_at = None
    await postman.send(letter_id)
    assert await row(database, "state") == ("failed",)


async def test_a_relay_that_is_busy_gets_the_letter_later(
    database: Database, postman: Postman, relay: FakeRelay
) -> None:
    letter_id = await written(database, HELLO)
    relay.answers["RCPT"] = "451 4.7.1 Greylisted"

    await postman.send(letter_id)

    state, error, in_time = await row(
        database, "state, error, due_at BETWEEN now() + interval '7 seconds' AND now() + interval '13 seconds'"
    )
    assert (state, in_time) == ("queued", True)
    assert "Greylisted" in str(error)
    await postman.send(letter_id)
    assert await row(database, "attempts") == (1,)

    relay.answers.clear()
    await change(database, "UPDATE mail_letters SET due_at = now()")
    await postman.send(letter_id)
    assert await row(database, "state, attempts, error") == ("sent", 2, "")


async def test_an_address_that_does_not_exist_is_given_up_for_the_operator_to_see(
    database: Database, postman: Postman, relay: FakeRelay
) -> None:
    letter_id = await written(database, HELLO)
    relay.answers["RCPT"] = "550 5.1.1 No such user"

    await postman.send(letter_id)

    async with database.transaction() as db:
        (letter,) = await undelivered(db)
    assert letter.id == letter_id
    assert "No such user" in letter.error


async def test_a_relay_that_stays_away_for_two_days_is_given_up(
    database: Database, postman: Postman, relay: FakeRelay
) -> None:
    letter_id = await written(database, HELLO)
    relay.answers["EHLO"] = None
    await change(database, f"UPDATE mail_letters SET attempts = {RETRIES.attempts_max - 1}")

    await postman.send(letter_id)

    assert await row(database, "state, due_at") == ("failed", None)
    waited_s = sum(RETRIES.delays_s[min(n, 3)] for n in range(RETRIES.attempts_max - 1))
    assert 47 * 3600 <= waited_s <= 49 * 3600


async def test_without_a_relay_letters_wait_and_say_so(database: Database, templates: Templates) -> None:
    letter_id = await written(database, HELLO)
    sender = Sender.parse("Pouch <pouch@localhost>")

    await Postman(database, templates=templates, relay=None, sender=sender).send(letter_id)

    state, error = await row(database, "state, error")
    assert state == "queued"
    assert "smtp_url" in str(error)


@pytest.mark.parametrize(
    "broken",
    [replace(HELLO, kind="unknown_kind"), replace(HELLO, context={})],
    ids=["no template", "no value"],
)
async def test_a_broken_template_keeps_the_letter_waiting(database: Database, postman: Postman, broken: Letter) -> None:
    letter_id = await written(database, broken)
    await postman.send(letter_id)
    assert await row(database, "state, attempts, error <> ''") == ("queued", 1, True)


async def test_nothing_in_a_letter_can_add_a_header(database: Database, postman: Postman, relay: FakeRelay) -> None:
    greeting = "Hi\r\nBcc: carol@x.example\r\n\r\nbody"
    letter_id = await written(database, Letter("evil", "alice@harbor.example", "hello", {"greeting": greeting}))

    await postman.send(letter_id)

    (message,) = relay.accepted
    assert message["Bcc"] is None
    assert relay.envelopes[0].rcpt_tos == ["alice@harbor.example"]


async def written(database: Database, letter: Letter) -> UUID:
    async with database.transaction() as db:
        assert await write(db, letter)
        found = await (await db.execute("SELECT id FROM mail_letters WHERE key = %s", (letter.key,))).fetchone()
    assert found
    letter_id: UUID = found[0]
    return letter_id


async def row(database: Database, columns: str) -> tuple[object, ...]:
    async with database.transaction() as db:
        found = await (await db.execute(f"SELECT {columns} FROM mail_letters".encode())).fetchone()
    assert found
    return tuple(found)


async def change(database: Database, statement: str) -> None:
    async with database.transaction() as db:
        await db.execute(statement.encode())


async def start_worker(url: str, port: int, letter_id: UUID) -> asyncio.subprocess.Process:
    here = os.environ | {"PYTHONPATH": str(WORKER.parents[1])}
    return await asyncio.create_subprocess_exec(sys.executable, str(WORKER), url, str(port), str(letter_id), env=here)


async def test_what_must_not_lie_in_the_outbox_is_added_when_the_letter_is_sent(
    database: Database, templates: Templates, relay: FakeRelay
) -> None:
    secrets = {"g1": "A secret greeting"}
    letter_id = await written(database, replace(HELLO, context={"greeting_id": "g1"}))
    postman = Postman(
        database,
        templates=templates,
        relay=Relay("127.0.0.1", relay.port),
        sender=Sender.parse("Pouch <pouch@harbor.example>"),
        complete=lambda kind, context: {"greeting": f"{secrets[context['greeting_id']]} in a {kind}"},
    )

    await postman.send(letter_id)

    assert relay.accepted[0]["Subject"] == "A secret greeting in a hello from Pouch"
    assert "secret" not in str(await row(database, "mail_letters::text"))


async def test_what_was_written_to_somebody_is_forgotten_once_it_is_done_with(
    database: Database, postman: Postman, relay: FakeRelay
) -> None:
    """Not what is still to be sent; and no cause writes a second time."""
    await postman.send(await written(database, HELLO))
    await written(database, replace(HELLO, key="hello:2"))
    await written(database, replace(HELLO, key="hello:3", to="carol@harbor.example"))

    async with database.transaction() as db:
        await forget(db, HELLO.to)
        assert not await write(db, HELLO)
        rows = await (await db.execute("SELECT key, to_address, context FROM mail_letters ORDER BY key")).fetchall()

    assert rows == [
        ("hello:1", "forgotten", {}),
        ("hello:2", HELLO.to, HELLO.context),
        ("hello:3", "carol@harbor.example", HELLO.context),
    ]
    assert len(relay.accepted) == 1
