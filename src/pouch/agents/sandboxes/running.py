"""Run a program in a sandbox to its end, with a little output."""

from dataclasses import dataclass

from pouch.agents.sandboxes.types import Command, Ending, Sandbox

KEPT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Done:
    """How it ended and the last of what it said."""

    ending: Ending
    out: bytes
    err: bytes


async def run_to_end(sandbox: Sandbox, command: Command, given: bytes = b"") -> Done:
    """Start it, write `given` to it, and wait. Raises SandboxFailed when it cannot be started."""
    process = await sandbox.execute(command)
    said = {"out": bytearray(), "err": bytearray()}
    try:
        if given:
            await process.send(given)
        await process.end_input()
        async for piece in process.output():
            said[piece.stream] += piece.data
            del said[piece.stream][:-KEPT_BYTES]
        return Done(await process.wait(), bytes(said["out"]), bytes(said["err"]))
    except BaseException:
        await process.kill()
        raise
