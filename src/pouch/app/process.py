"""What belongs to one process of `serve` and is handed from part to part while it is put together."""

from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from pouch.base.database import Database
from pouch.embedded.ends import Ends
from pouch.settings import Settings, SettingsError


@dataclass(slots=True)
class Process:
    """The ground that every part stands on. `loops` run beside the application; `stack` closes what was opened.

    `before_stop` is called when the server stops taking requests, so that answers without an end are ended.
    """

    settings: Settings
    ends: Ends | None
    database: Database
    stack: AsyncExitStack
    loops: list[Coroutine[object, object, None]] = field(default_factory=list)
    before_stop: list[Callable[[], None]] = field(default_factory=list)


def database_url(settings: Settings, ends: Ends | None) -> str:
    """The database of a `serve` or `work`. Raises SettingsError when none is named."""
    url = settings.database_url or (ends.database_url if ends is not None else None)
    if url is None:
        raise SettingsError("Set POUCH_DATABASE_URL, or use `pouch up`, which brings its own database.")
    return url
