"""What identity refuses.

PouchError
├── AddressTaken        409  somebody has registered this address
├── WrongPassword       401  no such person, or another password; it never says which
├── SignInAgain         403  the password was given too long ago for this
├── SignUpRefused       403  the operator does not let strangers register
├── VerificationNeeded  403  the person has not proved yet that their address is theirs
├── LinkEnded           404  a link from a mail that was used, is too old, or was never ours
├── CannotClose         409  the account cannot be deleted while something is under way
└── KeyMadeBefore       409  the same form came twice; the secret was shown the first time
"""

from pouch.base.errors import Conflict, NotAllowed, NotFound, PouchError
from pouch.base.languages import say


class AddressTaken(Conflict):
    """Somebody has registered this address, perhaps in another spelling."""

    code = "address_taken"

    def __init__(self) -> None:
        super().__init__(say("You cannot sign up with this address; try signing in."))


class WrongPassword(PouchError):
    """There is no such person, or this is not their password."""

    code = "wrong_password"
    status = 401

    def __init__(self) -> None:
        super().__init__(say("The e-mail or the password is not right."))


class SignInAgain(NotAllowed):
    """What moves money wants a password that was given within the last 15 minutes."""

    code = "sign_in_again"

    def __init__(self) -> None:
        super().__init__("Give your password again first: open Billing and refund there, or send a key.")


class SignUpRefused(NotAllowed):
    """The operator does not let strangers register."""

    code = "sign_up_refused"


class VerificationNeeded(NotAllowed):
    """The person has not proved yet that their address is theirs."""

    code = "verification_needed"

    def __init__(self) -> None:
        super().__init__(say("Confirm your e-mail address first: press the link in the mail that we sent you."))


class LinkEnded(NotFound):
    """A link from a mail that was used, is too old, was replaced, or was never ours; it never says which."""

    code = "link_ended"

    def __init__(self) -> None:
        super().__init__(say("This link has ended. Each works once, and for a limited time."))


class CannotClose(Conflict):
    """The account cannot be deleted while something is under way."""

    code = "cannot_close"


class KeyMadeBefore(Conflict):
    """The form that makes a key came a second time."""

    code = "key_made_before"

    def __init__(self) -> None:
        super().__init__(
            say("This key was made before, and its secret is shown only once. Make another key if you lost it.")
        )
