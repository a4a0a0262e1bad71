"""The children of a killed `up` end by themselves, and the next one waits for them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pouch.base.locks import try_lock
from pouch.up.roles import Leash, Role

pytestmark = pytest.mark.anyio

ORPHAN = """
import signal
from pouch.up.leash import end_with_up

end_with_up()
print("ready", flush=True)
signal.pause()
"""


def test_the_end_of_the_pipe_is_the_end_of_the_child() -> None:
    """However `up` ended: the kernel closes its end."""
    with subprocess.Popen([sys.executable, "-c", ORPHAN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.stdin.close()
        assert child.wait(timeout=30) == -15


def test_a_role_that_somebody_starts_by_hand_stays() -> None:
    """Its input is a terminal, a file or nothing, and no pipe of ours."""
    program = ORPHAN.replace("signal.pause()", "")
    answer = subprocess.run([sys.executable, "-c", program], stdin=subprocess.DEVNULL, capture_output=True, check=True)
    assert answer.stdout == b"ready\n"


async def test_a_living_child_holds_the_lock_that_the_next_up_waits_for(tmp_path: Path) -> None:
    path = tmp_path / "children.lock"
    lock = try_lock(path)
    assert lock is not None
    with Leash() as leash:
        role = Role("work", [sys.executable, "-c", ORPHAN], os.environ, leash, holding=lock.descriptor)
        await role.start()
        lock.release()
        assert try_lock(path) is None
        await role.stop()
    again = try_lock(path)
    assert again is not None
    again.release()
