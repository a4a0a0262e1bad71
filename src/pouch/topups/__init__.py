"""Buying credits by itself when a balance runs low: the rule, its guards, and the charge."""
