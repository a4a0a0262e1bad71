"""What money that goes back is made of: exact to the cent, never more than was paid, and the same in any order."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pouch.base.money import ZERO, Money
from pouch.payments.parts import NOTHING, Parts, asked_for, together

CENTS = st.integers(0, 20_000)


def parts(credits_: int, fee: int, tax: int) -> Parts:
    return Parts(Money.from_cents(credits_), Money.from_cents(fee), Money.from_cents(tax))


wholes = st.builds(
    lambda credits_, fee, tax: parts(credits_, min(fee, credits_), min(tax, credits_)),
    st.integers(1, 20_000),
    CENTS,
    CENTS,
)
cuts = st.lists(st.floats(0, 1), max_size=8)


def pieces(whole: Money, at: list[float]) -> list[Money]:
    """A whole in pieces of whole cents."""
    cents = whole.to_cents()
    marks = [0, *sorted(round(each * cents) for each in at), cents]
    return [Money.from_cents(b - a) for a, b in pairwise(marks) if b > a]


def all_at_least(one: Parts, other: Parts) -> bool:
    return one.credits >= other.credits and one.fee >= other.fee and one.tax >= other.tax and one.lost >= other.lost


def test_the_tax_follows_the_credits_and_the_fee_follows_only_where_it_comes_back() -> None:
    whole = parts(10_00, 74, 2_15)
    assert asked_for(whole, NOTHING, Money.from_cents(10_00), gives_fee=True) == whole
    assert asked_for(whole, NOTHING, Money.from_cents(10_00), gives_fee=False) == parts(10_00, 0, 2_00)
    assert asked_for(whole, NOTHING, Money.from_cents(5_00), gives_fee=True) == parts(5_00, 37, 1_08)


@given(wholes, cuts)
def test_partial_refunds_add_up_to_the_whole_with_no_cent_lost(whole: Parts, at: list[float]) -> None:
    gone = NOTHING
    for piece in pieces(whole.credits, at):
        gone += asked_for(whole, gone, piece, gives_fee=True)
    assert gone == whole


@given(wholes, cuts)
def test_where_the_fee_stays_its_tax_stays_too_and_partial_refunds_are_one_refund(
    whole: Parts, at: list[float]
) -> None:
    gone = NOTHING
    for piece in pieces(whole.credits, at):
        gone += asked_for(whole, gone, piece, gives_fee=False)
    assert gone == asked_for(whole, NOTHING, whole.credits, gives_fee=False)
    assert gone.fee == ZERO


@given(wholes, cuts)
def test_what_the_bank_takes_in_pieces_is_the_whole_in_the_end(whole: Parts, at: list[float]) -> None:
    found, gone = ZERO, NOTHING
    for piece in pieces(whole.total, at):
        found += piece
        more = together(whole, NOTHING, found)
        assert all_at_least(more, gone)
        assert more.total == found
        gone = more
    assert gone == whole


@given(wholes, st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=8), st.booleans())
def test_nothing_goes_back_twice_and_only_what_was_never_paid_is_lost(
    whole: Parts, acts: list[tuple[bool, float]], gives_fee: bool
) -> None:
    """Refunds made here and money taken by the bank, mixed: each step takes what it says, no part runs backwards."""
    asked, found, gone = NOTHING, ZERO, NOTHING
    for is_asked, size in acts:
        if is_asked:
            amount = Money.from_cents(round(size * (whole.credits - gone.credits).to_cents()))
            step = asked_for(whole, gone, amount, gives_fee=gives_fee)
            assert (gone + step).total <= max(whole.total, gone.total)
            asked, moved = asked + step, step.total
        else:
            moved = Money.from_cents(round(size * whole.total.to_cents()))
            found += moved
        after = together(whole, asked, found)
        assert after.total == gone.total + moved
        assert all_at_least(after, gone)
        assert all_at_least(whole, Parts(after.credits, after.fee, after.tax))
        assert after.lost == max(ZERO, after.total - whole.total)
        gone = after
