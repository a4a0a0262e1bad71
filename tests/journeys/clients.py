"""Small things that every client of the provider needs here."""

from decimal import Decimal

from openai.types.completion_usage import CompletionUsage

INPUT_USD, OUTPUT_USD = Decimal("0.000001"), Decimal("0.000002")
"""Prices of pouch/paid, for each word."""


def cost_of(usage: CompletionUsage | None) -> Decimal:
    """The field that Pouch adds. The SDK reads it as a float, whose shortest decimal is what was sent."""
    assert usage is not None
    assert usage.model_extra is not None
    return Decimal(str(usage.model_extra["cost"]))
