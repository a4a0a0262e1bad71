"""`pouch serve` and `pouch work` as children of `up`."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Self

from pouch.base.processes import ended, stop
from pouch.up.errors import RoleRefused

GRACE_S = 10
"""How long a role may finish what it is doing."""
USAGE = 2
"""The exit code of a process that cannot use its settings: another start would not help."""


def role_command(name: str) -> list[str]:
    """The command line of a role."""
    # -P: nothing in the working directory can take the place of a module.
    return [sys.executable, "-P", "-m", "pouch.cli", name]


class Leash:
    """A pipe that nobody writes to. The children read its end, which comes when `up` is gone, however it went."""

    def __init__(self) -> None:
        self.end, self._held = os.pipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.end)
        os.close(self._held)


class Role:
    """One command of Pouch as a child process that ends with `up`."""

    restart_failures: tuple[type[Exception], ...] = (OSError,)

    def __init__(
        self, name: str, command: list[str], environment: Mapping[str, str], leash: Leash, *, holding: int
    ) -> None:
        """`holding`: an open file that the child keeps open, so that its lock tells the next `up` that it lives."""
        self.name = name
        self._command = command
        self._environment = environment
        self._leash = leash
        self._holding = holding
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it, in a session of its own, so that Ctrl-C in the terminal reaches only `up`."""
        self._process = subprocess.Popen(  # noqa: ASYNC220 -- starting is quick, and we wait in `ended`
            self._command,
            env=dict(self._environment),
            stdin=self._leash.end,
            pass_fds=(self._holding,),
            start_new_session=True,
        )

    async def wait(self) -> int:
        """Wait until it ends and return its code. Raises RoleRefused when it cannot use its settings."""
        assert self._process is not None
        code = await ended(self._process)
        if code == USAGE:
            raise RoleRefused(f"`pouch {self.name}` cannot use its settings.")
        return code

    async def stop(self) -> None:
        """Ask it to finish and end, then end it."""
        if self._process and self._process.poll() is None:
            await stop(self._process, [(signal.SIGTERM, GRACE_S)])
