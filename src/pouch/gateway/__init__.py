"""The OpenAI-compatible provider: hold, forward, stream, count, capture."""
