"""What may go wrong around a sandbox. Nothing of it is charged.

PouchError
├── Unavailable
│   ├── SandboxUnsafe    this machine cannot isolate, and was not told to go on without
│   └── SandboxFailed    it could not be made or started
│       └── PlaceInUse   a living worker has it
├── InvalidInput
│   └── SourceRefused    this repository may not be cloned
└── CloneFailed          the repository's host or git said no
    └── HostUnknown      nobody has confirmed its host's key
"""

from collections.abc import Sequence

from pouch.base.errors import InvalidInput, PouchError, Unavailable


class SandboxUnsafe(Unavailable):
    """This machine cannot keep an agent apart from itself, and was not told to go on without."""

    code = "sandbox_unsafe"


class SandboxFailed(Unavailable):
    """A sandbox, or a program in it, could not be started."""

    code = "sandbox_failed"


class PlaceInUse(SandboxFailed):
    """A worker that lives has the place, though it may not have the run any more: come again."""


class SourceRefused(InvalidInput):
    """The address or the ref may not be cloned."""

    code = "repository_refused"


class CloneFailed(PouchError):
    """The repository could not be fetched; the text is git's own, without secrets."""

    code = "clone_failed"
    status = 502


class HostUnknown(CloneFailed):
    """Nobody has confirmed the key of the repository's host yet; `lines` are what it showed, as in known_hosts."""

    code = "host_unknown"

    def __init__(self, host: str, lines: Sequence[str]) -> None:
        super().__init__(f"Confirm the key of {host} first, in the run's environment. Nothing was fetched from it.")
        self.lines = lines


class SaveFailed(Unavailable):
    """The work could not be saved; the workspace is still there."""

    code = "save_failed"


class WorkTooLarge(SaveFailed):
    """There is more of it than is kept."""

    code = "work_too_large"
