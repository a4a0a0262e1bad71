"""The set-up of an environment: commands that a person wrote, with the allowed hosts in reach."""

import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from pouch.agents.sandboxes.errors import SandboxFailed
from pouch.agents.sandboxes.running import run_to_end
from pouch.agents.sandboxes.types import Command, Ending, Sandbox
from pouch.agents.sandboxes.visible import program

NOTE_TIMEOUT_S = 120
TEXT_BYTES_MAX = 32 * 1024


@dataclass(frozen=True, slots=True)
class SetUpLog:
    """What a command of the set-up said, or, with `ending`, how it ended."""

    command: str
    text: str = ""
    ending: Ending | None = None


async def set_up(sandbox: Sandbox, commands: Sequence[str], timeout_s: float) -> AsyncGenerator[SetUpLog, None]:
    """Run each command in bash, one after the other, until one fails; `timeout_s` is for all of them."""
    until = time.monotonic() + timeout_s
    for line in commands:
        left_s = max(0.0, until - time.monotonic())
        process = await sandbox.execute(Command(("/bin/bash", "-c", line), "setup", timeout_s=left_s))
        try:
            await process.end_input()
            async for piece in process.output():
                text = piece.data.decode(errors="replace")
                for begin in range(0, len(text), TEXT_BYTES_MAX):
                    yield SetUpLog(line, text[begin : begin + TEXT_BYTES_MAX])
            ending = await process.wait()
        except BaseException:  # who stops listening may do it by cancelling or by closing us: no command is left behind
            await process.kill()
            raise
        yield SetUpLog(line, ending=ending)
        if ending.code or ending.reason != "exited":
            return


async def note_made(sandbox: Sandbox) -> None:
    """Write down what a set-up made, so that it is not saved as the agent's work. Raises SandboxFailed."""
    # Only a clone may write the base; nothing of the repository runs here either.
    done = await run_to_end(sandbox, Command(program("made"), "clone", NOTE_TIMEOUT_S))
    if done.ending.code or done.ending.reason != "exited":
        said = (done.out + done.err).decode(errors="replace")
        raise SandboxFailed(f"What the set-up made could not be noted: {said.strip()[-400:]}")
