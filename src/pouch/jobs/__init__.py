"""Durable jobs: a doorbell over rows that carry their own state."""
