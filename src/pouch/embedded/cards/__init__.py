"""The far end of Stripe's protocol for machines without a card processor: play money, real requests."""
