"""The operator's commands, each in a process of its own that is forked from one which has imported Pouch already.

To import it takes half a second of CPU, and tests need hundreds of commands only to get somewhere. `RunningPouch.cli`
starts a process from nothing, as a shell does; here is the same program, with what it was given and its exit code.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

_SERVER = """
import json, os, sys
from pouch.cli import app, main
import pouch.cli.database, pouch.cli.reading, pouch.identity.keys, pouch.identity.passwords, pouch.identity.people
import pouch.ledger.accounts, pouch.ledger.check, pouch.ledger.grants

def run(asked):
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    for number, path in enumerate(asked["files"]):
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC if number else os.O_RDONLY)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
    *before, last = asked["commands"]
    for words in before:
        app(words, prog_name="pouch", standalone_mode=False)
    sys.argv = ["pouch", *last]
    main()

for line in iter(sys.stdin.buffer.readline, b""):
    if not (child := os.fork()):
        run(json.loads(line))
        sys.exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
_one_at_a_time = threading.Lock()


def run_commands(
    *commands: Sequence[str], environment: Mapping[str, str], folder: Path, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `pouch …` to its end, or several in turn in one process; the code and what was printed are of all of them."""
    with tempfile.TemporaryDirectory(prefix="pouch-command-") as place:
        files = [Path(place, name) for name in ("in", "out", "err")]
        for file, text in zip(files, (typed, "", ""), strict=True):
            file.write_text(text)
        asked = {
            "commands": [list(words) for words in commands],
            "environment": dict(environment),
            "folder": str(folder),
            "files": [str(file) for file in files],
        }
        with _one_at_a_time:
            server = _server(os.getpid())
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(json.dumps(asked) + "\n")
            server.stdin.flush()
            code = int(server.stdout.readline())
        return subprocess.CompletedProcess(commands[-1], code, files[1].read_text(), files[2].read_text())


@cache
def _server(_owner: int) -> subprocess.Popen[str]:
    """Ends when the process that it belongs to does."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
