"""Noticing that an agent goes in circles: the same commands with the same outputs."""

import hashlib

WARN_AFTER, END_AFTER = 3, 5
PERIOD_MAX = 3


class Circles:
    """Notices when the same commands give the same outputs again and again."""

    def __init__(self) -> None:
        self._steps: list[str] = []

    def add(self, command: str, output: str) -> int:
        """How often the last one to three steps came in a row."""
        self._steps.append(hashlib.sha256(f"{command}\0{output}".encode()).hexdigest())
        return max(map(self._repeats, range(1, PERIOD_MAX + 1)))

    def _repeats(self, period: int) -> int:
        last = self._steps[-period:]
        count = 0
        for end in range(len(self._steps), period - 1, -period):
            if self._steps[end - period : end] != last:
                break
            count += 1
        return count
