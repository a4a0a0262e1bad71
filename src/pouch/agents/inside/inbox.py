"""What is written to an agent's program while it works: the turn, messages, and the word to stop."""

import json
import queue
import signal
import sys
import threading

from pouch.agents.inside.model import Json


class Inbox:
    """What is written to us while we work, read by a thread of its own."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._messages: queue.SimpleQueue[str] = queue.SimpleQueue()
        signal.signal(signal.SIGTERM, lambda *_: self._stopped.set())

    def first(self) -> Json:
        """The turn."""
        turn = json.loads(sys.stdin.buffer.readline())
        assert isinstance(turn, dict)
        threading.Thread(target=self._listen, daemon=True).start()
        return turn

    def is_stopped(self) -> bool:
        """Whether we were asked to end."""
        return self._stopped.is_set()

    def messages(self) -> list[str]:
        """What a person said since we last asked."""
        found: list[str] = []
        while not self._messages.empty():
            found.append(self._messages.get())
        return found

    def _listen(self) -> None:
        for line in sys.stdin.buffer:
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if said.get("type") == "message":
                self._messages.put(str(said.get("text", "")))
            elif said.get("type") == "stop":
                self._stopped.set()
        # Nobody is there any more to hear what we find.
        self._stopped.set()
