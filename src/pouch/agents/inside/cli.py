"""Run any agent program: its task as a file, the gateway at a local port, its work kept every few seconds.

The first line of standard input is {"argv": […], "env": {…}, "files": {…}, "task": …, "may_write": …, "kind": …}. In
argv, {task} stands for the task's text and {task_file} for its file. What the repository says to agents stands before
the task, as the native engine has it.
"""

import json
import os
import sys
import threading
from pathlib import Path

sys.path.insert(0, "/opt/pouch")

from pouch.agents.inside import forward
from pouch.agents.inside.checkpoint import Checkpoints
from pouch.agents.inside.rules import repository_rules

PORT, SOCKET = 8080, "/run/pouch/gateway.sock"
STATE = Path.home() / ".pouch"
KEEP_EVERY_S = 20


def main() -> int:
    """Run it, and give its code."""
    turn = json.loads(sys.stdin.buffer.readline())
    STATE.mkdir(parents=True, exist_ok=True)
    task_file = STATE / "task.md"
    rules = repository_rules(Path.cwd(), turn["kind"])
    task = f"# The repository's rules for agents\n{rules}\n\n{turn['task']}" if rules else turn["task"]
    task_file.write_text(task)
    for name, text in turn["files"].items():
        file = Path.home() / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    if Path(SOCKET).exists():
        forward.listen(PORT, SOCKET)
    if turn["may_write"]:
        threading.Thread(target=_keep, daemon=True).start()
    words = {"{task}": task, "{task_file}": str(task_file)}
    argv = [words.get(word, word) for word in turn["argv"]]
    return forward.run(argv, os.environ | turn["env"], hears=False)


def _keep() -> None:
    checkpoints = Checkpoints(STATE)
    while True:
        threading.Event().wait(KEEP_EVERY_S)
        checkpoints.keep("While it works")


if __name__ == "__main__":
    sys.exit(main())
