from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pouch.base.money import NANOS_PER_CENT, Money
from pouch.base.percent import Percent
from pouch.payments.charges import Charges, Quote
from pouch.settings import Payments

CENTS = st.integers(min_value=1, max_value=999_999_99)
PPM = st.integers(min_value=0, max_value=1_000_000)


def charges(**settings: object) -> Charges:
    return Charges.of(Payments.model_validate(settings))


def test_without_the_operators_word_credits_cost_what_they_are_worth() -> None:
    ten = Money.parse("10")
    assert charges().quote(ten) == Quote(ten, Money(0), Money(0), "off", "")
    assert charges().quote(ten).total == ten
    assert charges().in_words == "There is no fee."


def test_fee_and_tax_come_on_top_and_the_tax_is_on_both() -> None:
    """4.4 % of $10.00 is $0.44, and $0.30; 20 % of $10.74 is $2.148, which is $2.15."""
    told = charges(fee_percent="4.4", fee_fixed_usd="0.30", tax="fixed", tax_percent="20", tax_name="VAT")
    quote = told.quote(Money.parse("10"))
    assert (quote.fee, quote.tax, quote.total) == (Money.parse("0.74"), Money.parse("2.15"), Money.parse("12.89"))
    assert quote.tax_name == "VAT 20 %"
    assert told.in_words == "The fee is 4.4 % and $0.30. VAT of 20 % comes on top."


def test_a_tax_that_stripe_works_out_is_not_known_before() -> None:
    quote = charges(fee_percent="5", tax="automatic").quote(Money.parse("10"))
    assert (quote.before_tax, quote.tax, quote.total) == (Money.parse("10.50"), None, None)


@given(cents=CENTS, fee=PPM, fixed=st.integers(min_value=0, max_value=10_00), tax=PPM)
def test_every_part_is_whole_cents_and_rounded_as_said(cents: int, fee: int, fixed: int, tax: int) -> None:
    amount = Money.from_cents(cents)
    quote = Charges(Percent(fee), Money.from_cents(fixed), "fixed", Percent(tax), "Tax", collects_tax_id=False).quote(
        amount
    )
    assert quote.tax is not None
    assert quote.total is not None
    exact_fee = Fraction(cents * fee, 1_000_000)
    assert 0 <= quote.fee.to_cents() - fixed - exact_fee < 1
    exact_tax = Fraction((cents + quote.fee.to_cents()) * tax, 1_000_000)
    assert -Fraction(1, 2) < quote.tax.to_cents() - exact_tax <= Fraction(1, 2)
    assert quote.total.to_cents() == cents + quote.fee.to_cents() + quote.tax.to_cents()
    assert quote.total.nanos % NANOS_PER_CENT == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"fee_percent": 4.4},
        {"fee_percent": "4.40001"},
        {"fee_percent": "-1"},
        {"fee_percent": "101"},
        {"fee_percent": "1e1"},
        {"fee_fixed_usd": "0.305"},
        {"fee_fixed_usd": 1},
        {"tax": "fixed"},
        {"tax_percent": "20"},
        {"tax": "automatic", "tax_percent": "20"},
        {"tax": "sometimes"},
    ],
)
def test_what_is_not_exact_or_not_whole_is_refused_at_start(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        charges(**wrong)


@pytest.mark.parametrize(
    ("text", "shown"), [("4.4", "4.4 %"), ("20", "20 %"), ("0.0001", "0.0001 %"), ("100", "100 %")]
)
def test_percentages_are_read_and_written_exactly(text: str, shown: str) -> None:
    assert str(Percent.parse(text)) == shown
