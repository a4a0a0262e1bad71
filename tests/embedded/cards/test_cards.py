"""What may be typed on the hosted page."""

from datetime import UTC, datetime

import pytest

from pouch.base.errors import InvalidInput
from pouch.embedded.cards.cards import CARDS, read_card

TODAY = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize("written", ["11/26", "11 / 26", "1126", "11/2026", " 11 /26 "])
def test_an_expiration_is_read_as_people_write_it(written: str) -> None:
    typed = read_card("4242 4242 4242 4242", written, "123", today=TODAY)
    assert (typed.exp_month, typed.exp_year) == (11, 2026)


@pytest.mark.parametrize(
    "written", ["10/26", "1/26", "12/25", "00/30", "13/30", "1/2", "11-26", "abc", "12/77", "\u0661\u0661/\u0662\u0666"]
)
def test_a_card_past_its_month_or_unreadable_is_refused(written: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_card("4242424242424242", written, "123", today=TODAY)
    assert refused.value.field == "expiration"


def test_the_same_card_has_the_same_fingerprint_and_no_other_has() -> None:
    def prints(secret: str) -> list[str]:
        typed = [read_card(card.number, "12/34", "1234"[: card.cvc_length], today=TODAY) for card in CARDS]
        return [one.method(now=TODAY, secret=secret, email=None).fingerprint for one in typed]

    assert prints("a") == prints("a")
    assert len(set(prints("a"))) == len(CARDS)
    assert not set(prints("a")) & set(prints("b"))


def test_every_card_has_a_name_and_a_number_of_its_own() -> None:
    assert len({card.name for card in CARDS}) == len({card.number for card in CARDS}) == len(CARDS)
    assert CARDS[0].shown == "4242 4242 4242 4242"
