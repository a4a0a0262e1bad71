import pytest

from pouch.base.money import Money
from pouch.site.rates import places_of, size_words


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (200_000, "200K"),
        (128_000, "128K"),
        (131_072, "128K"),
        (32_768, "32K"),
        (8_192, "8K"),
        (1_000_000, "1M"),
        (1_048_576, "1M"),
        (2_097_152, "2M"),
        (1_500_000, "1,500K"),
        (999, "999"),
        (4_097, "4K"),
    ],
)
def test_a_size_is_said_as_its_vendor_says_it(tokens: int, words: str) -> None:
    assert size_words(tokens) == words


def test_a_column_has_room_for_every_decimal() -> None:
    """A price must never be rounded where people compare prices."""
    assert places_of([]) == 2
    assert places_of([Money.parse("3"), Money.parse("0.5")]) == 2
    assert places_of([Money.parse("3"), Money.parse("0.028")]) == 3
    assert places_of([Money.parse("0.000000001")]) == 9
