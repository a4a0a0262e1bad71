"""One record per finished call."""
