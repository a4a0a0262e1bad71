"""Why the embedded Postgres cannot run, in one line."""


class PostgresUnavailable(Exception):
    """The embedded Postgres cannot run here; the text is one line that says why and names the way out."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The embedded Postgres cannot run: {reason.strip().rstrip('.')}. "
            "Set POUCH_DATABASE_URL to use a Postgres of your own (15 or newer)."
        )


class AlreadyRunning(Exception):
    """Another process uses this data folder; the text is one line."""
