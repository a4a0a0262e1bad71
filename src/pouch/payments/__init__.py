"""Money from cards: checkout, events, settlement."""
