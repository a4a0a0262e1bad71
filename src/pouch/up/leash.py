"""The child's side: `serve` and `work` end when the `up` that started them is gone."""

import os
import signal
import stat
import threading
import time

STDIN = 0
GRACE_S = 12
"""A little more than a role takes to finish; the next `up` waits for us."""


def end_with_up() -> None:
    """End this process, gracefully, when `up` ends. Does nothing when standard input is not the pipe that it holds."""
    if stat.S_ISFIFO(os.fstat(STDIN).st_mode):
        threading.Thread(target=_end_at_end_of_input, name="leash", daemon=True).start()


def _end_at_end_of_input() -> None:
    while os.read(STDIN, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(1)
