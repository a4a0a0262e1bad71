"""Pouch: prepaid dollars for AI models and agents, on your own machine."""

__version__ = "0.1.0"
