"""A service of somebody else, emulated by npm's `emulate` (Apache-2.0) in a process of its own: a far end of tests."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.node import NODE, NodeFolder
from support.pouch import quiet_port

FOLDER = Path(__file__).parents[1] / "emulate"
END_TIMEOUT_S = 30


@contextmanager
def emulated(service: str, seed: Mapping[str, Any]) -> Iterator[str]:
    """Serve it on loopback, with what it begins with: its address."""
    NodeFolder(FOLDER).install()
    words: list[str | Path] = [NODE, FOLDER / "serve.mjs", service, str(quiet_port()), json.dumps(seed)]
    process = subprocess.Popen(words, cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, f"the emulator of {service} did not start"
        yield json.loads(line)["url"]
    finally:
        process.stdin.close()
        process.wait(END_TIMEOUT_S)
        process.stdout.close()
