"""The agent's one tool: a command for bash, with its output cut to what a model can read."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable

TIMEOUT_S = 120
TIMEOUT_MAX_S = 1800
KEPT_BYTES = 24 * 1024
"""At the beginning and at the end, each half of it."""
POLL_S = 0.1


class Result:
    """What a command did."""

    def __init__(self, code: int, text: str, *, is_cut: bool, note: str) -> None:
        self.code = code
        self.text = text
        self.is_cut = is_cut
        self.note = note


def run(command: str, timeout_s: float, is_stopped: Callable[[], bool]) -> Result:
    """Run a command to its end, its time or our stop. What it leaves in the background keeps running."""
    process = subprocess.Popen(
        ["/bin/bash", "-c", command],
        cwd="/work",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    kept = _Kept()
    note = ""
    until = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(POLL_S):
                piece = os.read(process.stdout.fileno(), 65536)
                if not piece:
                    break
                kept.add(piece)
            elif process.poll() is not None:
                # A background process holds the pipe open; the command itself has ended.
                break
            if is_stopped():
                note = "[stopped]"
            elif time.monotonic() > until:
                note = f"[ended after {timeout_s:g} seconds; give timeout_s for more, at most {TIMEOUT_MAX_S}]"
            if note:
                _end(process)
                break
    process.stdout.close()
    try:
        code = process.wait(5)
    except subprocess.TimeoutExpired:
        _end(process)
        code = process.wait()
    return Result(code, kept.text(), is_cut=kept.is_cut, note=note)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


class _Kept:
    """The beginning and the end of a long output."""

    def __init__(self) -> None:
        self._begin = bytearray()
        self._end = bytearray()
        self._dropped = 0

    @property
    def is_cut(self) -> bool:
        return self._dropped > 0

    def add(self, piece: bytes) -> None:
        half = KEPT_BYTES // 2
        room = half - len(self._begin)
        self._begin += piece[:room]
        self._end += piece[max(room, 0) :]
        if (over := len(self._end) - half) > 0:
            del self._end[:over]
            self._dropped += over

    def text(self) -> str:
        begin, end = self._begin.decode(errors="replace"), self._end.decode(errors="replace")
        return f"{begin}\n[… {self._dropped} bytes left out …]\n{end}" if self._dropped else begin + end
