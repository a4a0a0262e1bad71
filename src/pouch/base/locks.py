"""Locks between processes: the kernel's, on open files, so they end with their process whatever ended it."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock on a file, held while the file is open, here or in a child that inherited it."""

    descriptor: int

    def release(self) -> None:
        """Let others have it."""
        os.close(self.descriptor)


def try_lock(path: Path, *, shared: bool = False) -> Lock | None:
    """Take the lock, or None when somebody else has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return Lock(descriptor)
