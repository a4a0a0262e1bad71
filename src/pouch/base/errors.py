"""Expected failures. Each has a stable `code` for machines, a sentence for people and data as attributes.

    PouchError
    ├── NotFound            404  no such thing, or not yours
    ├── NotAllowed          403  yours to see, not to do
    ├── InvalidInput        400  what was sent cannot be read; `field` names it
    ├── Conflict            409  the thing is no longer in the state this needs
    │   └── UnderWay             the same is being done right now; wait `retry_after_s`
    ├── TooManyRequests     429  wait `retry_after_s`
    └── Unavailable         503  ours to mend; wait `retry_after_s`

Rooms subclass these. `web` turns them into a page, the gateway and the APIs into JSON; nobody else writes error
responses.
"""

from typing import ClassVar


class PouchError(Exception):
    """A failure that was foreseen: it has words for the person who meets it."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 400

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotFound(PouchError):
    """There is no such thing, or it belongs to somebody else."""

    code = "not_found"
    status = 404


class NotAllowed(PouchError):
    """The caller may not do this."""

    code = "not_allowed"
    status = 403


class InvalidInput(PouchError):
    """What was sent cannot be read or is outside what is allowed."""

    code = "invalid_input"
    status = 400

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class Conflict(PouchError):
    """The thing is not, or no longer, in the state that this needs."""

    code = "conflict"
    status = 409


class UnderWay(Conflict):
    """The same thing is being done at this moment; its outcome can be asked for soon."""

    code = "under_way"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooManyRequests(PouchError):
    """Asked more often than allowed."""

    code = "too_many_requests"
    status = 429

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(PouchError):
    """Something of ours is not answering right now."""

    code = "unavailable"
    status = 503

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
