"""The official Node SDK: installed by its lock, and run as a program of its own."""

from pathlib import Path
from typing import Any

from support.node import NodeFolder
from support.pouch import RunningPouch


class NodeSdk:
    """The programs of `node/`, each of which prints one JSON document."""

    def __init__(self) -> None:
        self._folder = NodeFolder(Path(__file__).parent / "node")

    def install(self) -> None:
        """Install what package-lock.json names, unless it is there. Any number of these may run at once."""
        self._folder.install()

    def run(self, program: str, *arguments: str, pouch: RunningPouch, key: str) -> dict[str, Any]:
        """Run a program against a Pouch: what it printed, with exact numbers."""
        environment = {"OPENAI_BASE_URL": f"{pouch.url}/v1", "OPENAI_API_KEY": key}
        printed: dict[str, Any] = self._folder.run(program, *arguments, environment=environment)
        return printed
