"""A real machine whose agent is a few lines of bash."""

from collections.abc import Iterable
from pathlib import Path

from pouch.agents.engines.types import Event, Finish, Turn
from pouch.agents.machine import Machine
from pouch.agents.sandboxes.bubblewrap import Bubblewrap
from pouch.agents.sandboxes.cloning import Sources
from pouch.agents.sandboxes.types import Command
from support.sandboxes import SMALL


class Lines:
    """An engine: the script is the agent, and each line that it says is a message."""

    name = "native"

    def __init__(self, script: str) -> None:
        self._script = script

    def command(self, turn: Turn) -> Command:
        return Command(("/bin/bash", "-e", "-c", self._script), "agent", turn.timeout_s)

    def opening(self, turn: Turn) -> bytes:
        del turn
        return b""

    def read(self, line: bytes) -> Iterable[Event]:
        return [Event("message", {"text": line.decode()})]

    def follow_up(self, text: str) -> bytes | None:
        del text
        return None

    def stop_request(self) -> bytes | None:
        return None

    def finish(self, code: int) -> Finish:
        return "failed" if code else "finished"


def machine(root: Path, repository: str, script: str) -> Machine:
    """A machine with bubblewrap, which may clone that repository."""
    sources = Sources(local_roots=[Path(repository).parent])
    return Machine(Bubblewrap(root), sources=sources, limits=SMALL, engines={"native": Lines(script)})
