"""How often one may try, by a clock that the test moves."""

import pytest

from identity.site import Clock
from pouch.base.errors import TooManyRequests
from pouch.identity.throttles import Throttle, Throttles, client_network

THREE_A_MINUTE = Throttle("test", 3, 60)
OTHER = Throttle("other", 100, 60)


def fail(throttles: Throttles, who: str = "alice") -> None:
    with throttles.attempt((THREE_A_MINUTE, who), (OTHER, "everybody")) as attempt:
        attempt.count()


def test_after_the_last_try_one_waits_until_the_first_is_old() -> None:
    clock = Clock()
    throttles = Throttles(clock)
    for _ in range(3):
        fail(throttles)
        clock.now += 10
    with pytest.raises(TooManyRequests) as refused:
        fail(throttles)
    assert refused.value.retry_after_s == 30

    clock.now += 29.9
    with pytest.raises(TooManyRequests):
        fail(throttles)
    clock.now += 0.1
    fail(throttles)
    with pytest.raises(TooManyRequests) as refused:
        fail(throttles)
    assert refused.value.retry_after_s == 10


def test_somebody_else_is_not_slowed_down() -> None:
    throttles = Throttles(Clock())
    for _ in range(3):
        fail(throttles, "alice")
    fail(throttles, "bob")


def test_an_attempt_that_succeeds_is_not_counted() -> None:
    throttles = Throttles(Clock())
    for _ in range(10):
        with throttles.attempt((THREE_A_MINUTE, "alice")):
            pass
    for _ in range(3):
        fail(throttles)


def test_attempts_under_way_take_their_places() -> None:
    """A thousand guesses sent together are not all let through because none of them has failed yet."""
    throttles = Throttles(Clock())
    with (
        throttles.attempt((THREE_A_MINUTE, "alice")),
        throttles.attempt((THREE_A_MINUTE, "alice")),
        throttles.attempt((THREE_A_MINUTE, "alice")),
        pytest.raises(TooManyRequests),
    ):
        fail(throttles)
    fail(throttles)


def test_a_refused_attempt_is_counted_nowhere() -> None:
    clock = Clock()
    throttles = Throttles(clock)
    for _ in range(3):
        fail(throttles)
    for _ in range(50):
        clock.now += 1
        with pytest.raises(TooManyRequests):
            fail(throttles)
    clock.now += 10
    fail(throttles)


def test_memory_is_bounded() -> None:
    """Whoever was quiet longest is forgotten first."""
    throttles = Throttles(Clock(), buckets_max=3)
    for who in ("alice", "bob"):
        for _ in range(3):
            fail(throttles, who)
    fail(throttles, "carol")  # with "everybody" the fourth
    with pytest.raises(TooManyRequests):
        fail(throttles, "bob")
    fail(throttles, "alice")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_a_household_counts_as_one_client(address: str, network: str) -> None:
    assert client_network(address) == network
