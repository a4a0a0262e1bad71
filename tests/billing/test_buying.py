import pytest
from hypothesis import given
from hypothesis import strategies as st

from pouch.base.errors import InvalidInput
from pouch.base.money import NANOS_PER_CENT, Money
from pouch.billing.buying import Terms, read_amount
from pouch.settings import Credits, File


def test_what_is_typed_counts_and_else_the_preset() -> None:
    assert read_amount({"amount_usd": " 12.5 ", "preset": "25.00"}) == Money.from_cents(12_50)
    assert read_amount({"amount_usd": "", "preset": "25.00"}) == Money.from_cents(25_00)


@given(st.text())
def test_whatever_is_typed_is_whole_cents_or_refused(text: str) -> None:
    try:
        amount = read_amount({"amount_usd": text})
    except InvalidInput:
        pass
    else:
        assert 0 <= amount.nanos <= 999_999_99 * NANOS_PER_CENT
        assert amount.nanos % NANOS_PER_CENT == 0


@pytest.mark.parametrize(
    "text",
    ["-1", "+1", "1e2", "0x5", "10.", ".5", "1,000", "10.001", "1234567", "\N{FULLWIDTH DIGIT FIVE}", "1 0", "∞"],
)
def test_only_plain_dollars_and_cents_are_read(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_amount({"amount_usd": text, "preset": "25.00"})


def test_presets_outside_the_operators_limits_are_not_offered() -> None:
    limits = Credits(purchase_min_usd=Money.from_cents(30_00), purchase_max_usd=Money.from_cents(99_00))
    (offer,) = Terms.of(File(credits=limits), is_open=True).offers(Money.from_cents(1_50))
    assert (offer.value, offer.whole, offer.is_chosen) == ("50.00", "50", True)
    assert offer.available_after == Money.from_cents(51_50)


def test_one_preset_is_chosen_the_posted_one_if_there_is_one() -> None:
    terms = Terms.of(File(), is_open=True)
    assert [offer.whole for offer in terms.offers(Money(0)) if offer.is_chosen] == ["25"]
    assert [offer.whole for offer in terms.offers(Money(0), "100.00") if offer.is_chosen] == ["100"]
    assert [offer.whole for offer in terms.offers(Money(0), "7.00") if offer.is_chosen] == ["25"]


def test_every_form_is_an_attempt_of_its_own() -> None:
    assert Terms.new_attempt() != Terms.new_attempt()
