"""Hashing without holding anybody up."""

import asyncio
import time

import pytest

from identity.site import CHEAP
from pouch.base.errors import InvalidInput, Unavailable
from pouch.identity.passwords import QUEUE_MAX, Cost, Passwords, read_password

pytestmark = pytest.mark.anyio


async def test_a_password_opens_only_its_own_hash() -> None:
    passwords = Passwords(CHEAP)
    stored = await passwords.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert await passwords.verify("correct horse", stored)
    assert not await passwords.verify("correct horsf", stored)


async def test_without_a_hash_the_answer_is_no() -> None:
    assert not await Passwords(CHEAP).verify("correct horse", None)


async def test_without_a_hash_the_work_is_done_all_the_same() -> None:
    """A comparison that is refused early takes a thousandth of this, so a wide margin tells them apart."""
    passwords = Passwords(Cost(memory_kib=16384, passes=2, lanes=1))
    stored = await passwords.hash("correct horse")

    async def shortest(hash: str | None) -> float:  # noqa: A002 -- as in verify
        times = []
        for _ in range(5):
            start = time.perf_counter()
            await passwords.verify("wrong horse", hash)
            times.append(time.perf_counter() - start)
        return min(times)

    assert await shortest(None) > await shortest(stored) / 5


async def test_one_password_typed_as_other_code_points_is_the_same() -> None:
    passwords = Passwords(CHEAP)
    stored = await passwords.hash("jos\u00e9 is here")
    assert await passwords.verify("jose\u0301 is here", stored)


async def test_an_endless_password_is_wrong_and_not_hashed() -> None:
    passwords = Passwords(CHEAP)
    stored = await passwords.hash("a" * 300)
    assert not await passwords.verify("a" * 300, stored)


async def test_a_hash_of_another_cost_is_outdated() -> None:
    old = await Passwords(CHEAP).hash("correct horse")
    assert Passwords(Cost(memory_kib=16, passes=1, lanes=1)).is_outdated(old)
    assert not Passwords(CHEAP).is_outdated(old)


async def test_beyond_the_queue_people_are_sent_away_at_once_and_later_served() -> None:
    """A crowd in one moment: the queue is served, the others hear it immediately, nothing piles up."""
    passwords = Passwords(Cost(memory_kib=16384, passes=1, lanes=1))
    crowd = (passwords.verify("x", None) for _ in range(3 * QUEUE_MAX))
    answers = await asyncio.gather(*crowd, return_exceptions=True)
    served, refused = answers.count(False), sum(isinstance(answer, Unavailable) for answer in answers)
    assert served + refused == 3 * QUEUE_MAX
    assert served >= QUEUE_MAX
    assert refused > 0
    assert not await passwords.verify("x", None)


async def test_those_who_stop_waiting_leave_their_places() -> None:
    passwords = Passwords(CHEAP)
    for _ in range(3):
        waiting = [asyncio.ensure_future(passwords.verify("x", None)) for _ in range(QUEUE_MAX)]
        await asyncio.sleep(0)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        # The two that run already finish their work first; this one queues behind them.
        assert not await passwords.verify("x", None)


@pytest.mark.parametrize("text", ["", "too short", "x" * 257, "é" * 129, "abababababab", "Alice@Example.com"])
def test_a_password_that_is_no_good_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_password(text, email="alice@example.com")
    assert refused.value.field == "password"


def test_a_sentence_of_any_alphabet_is_a_password() -> None:
    for text in ("correct horse battery", "пароль из слов", "🐎🐎 battery staple"):
        assert read_password(text, email="alice@example.com") == text
