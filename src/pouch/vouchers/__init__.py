"""Codes that turn into credits."""
