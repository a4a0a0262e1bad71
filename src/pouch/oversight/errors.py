"""Why a request is not moved on.

PouchError
└── NotNow   409  it was decided, its time is over, or whoever asks may not decide it
"""

from pouch.base.errors import Conflict
from pouch.base.languages import say
from pouch.oversight.types import Request


class NotNow(Conflict):
    """The request is not in the state that this needs, or is not this operator's to decide."""

    code = "request_not_open"

    def __init__(self, request: Request, *, is_own: bool) -> None:
        if is_own and request.state == "waiting":
            words = say("You asked for this yourself, so another operator must allow it.")
        elif request.state == "over":
            words = say("The time of this request is over. It can be asked for again.")
        else:
            words = say("This request was decided already.")
        super().__init__(words)
