"""Which program a call comes from and for which of its tasks, as the headers say it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

APP_MAX = 80
_TASK = re.compile(rb"[A-Za-z0-9._:-]{1,64}")


@dataclass(frozen=True, slots=True)
class Origin:
    """Kept on the usage record. Empty where nothing usable was said."""

    app: str = ""
    """Such as "Roo Code 3.52.1"."""
    task_id: str = ""
    """One piece of work of an agent, which takes many calls: X-Roo-Task-ID."""


NOWHERE = Origin()


def origin_of(headers: Mapping[bytes, bytes]) -> Origin:
    """Read `X-Roo-Task-ID`, `X-Title` with `X-Roo-App-Version`, or else the first word of `User-Agent`.

    A task id of another form than ours is as good as none: it becomes a part of addresses and of limits.
    """
    title, version = headers.get(b"x-title"), headers.get(b"x-roo-app-version")
    if title or version:
        named = b"\0".join(((title or b"")[:APP_MAX], (version or b"")[:APP_MAX]))
    else:
        named = headers.get(b"user-agent", b"")[:APP_MAX]
    origin = _app(named)
    task = headers.get(b"x-roo-task-id")
    if task is None or _TASK.fullmatch(task) is None:
        return origin
    return Origin(origin.app, task.decode())


@lru_cache(1024)
def _app(named: bytes) -> Origin:
    if b"\0" not in named:
        agent = _plain(named).partition(" ")[0].replace("/", " ")
        return Origin(agent[:APP_MAX]) if agent else NOWHERE
    title, _, version = named.partition(b"\0")
    words = (_plain(title or b"Roo Code"), _plain(version))
    return Origin(" ".join(word for word in words if word)[:APP_MAX])


def _plain(text: bytes) -> str:
    return "".join(letter for letter in text.decode("latin-1") if letter.isascii() and letter.isprintable()).strip()
