"""The test models: a small server that speaks OpenAI's chat completions, so every journey runs offline."""

from pouch.embedded.models.server import TestModelServer

__all__ = ["TestModelServer"]
