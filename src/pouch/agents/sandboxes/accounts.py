"""An account number for each sandbox, shared with nothing else: only root can give one."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

FIRST, COUNT = 1_900_000_000, 10_000
"""Above everything that systems hand out: people, services, subordinate ids, containers."""
LOCKS = Path("/run/pouch-accounts")


@dataclass(slots=True)
class Account:
    """Whom a sandbox's programs are, seen from outside. Nobody is registered under the number."""

    uid: int
    is_own: bool = False
    """Whether it differs from the worker's own account."""
    lock: int | None = None
    """Held as long as the number is in use."""

    def give(self, *paths: Path) -> None:
        """Make files of ours the account's."""
        if self.is_own:
            for path in paths:
                os.chown(path, self.uid, self.uid)

    def free(self) -> None:
        """Let others have the number. Repeats safely."""
        if self.lock is not None:
            lock, self.lock = self.lock, None
            os.close(lock)


def take_account(taken: set[int], *, wanted: int | None = None) -> Account:
    """A number that no other sandbox of this machine has; our own where we are not root. Raises OSError.

    `taken` are the numbers of places that are still there though their worker may be gone.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid())
    LOCKS.mkdir(mode=0o700, exist_ok=True)
    for uid in [wanted] if wanted is not None else range(FIRST, FIRST + COUNT):
        if uid in taken:
            continue
        lock = os.open(LOCKS / str(uid), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        return Account(uid, is_own=True, lock=lock)
    raise OSError("every account number for sandboxes is in use")
