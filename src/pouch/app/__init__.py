"""Puts the rooms together: what `pouch serve` and `pouch work` run."""

from collections.abc import Collection

from pouch.jobs.doorbell import Lane
from pouch.settings import Settings


def serve(settings: Settings) -> None:
    """Serve pages and API until SIGTERM or SIGINT. Raises SettingsError when it cannot."""
    from pouch.app import serving  # noqa: PLC0415 -- a worker loads no web server

    serving.serve(settings)


def work(settings: Settings, lanes: Collection[Lane] | None = None) -> None:
    """Do the jobs until SIGTERM or SIGINT. Raises SettingsError when it cannot."""
    from pouch.app import working  # noqa: PLC0415 -- a server loads no job engine

    working.work(settings, lanes)
