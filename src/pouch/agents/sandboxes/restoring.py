"""Put what was saved of an earlier attempt into a fresh clone."""

import asyncio
import tarfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from pouch.agents.sandboxes.cloning import check_ref
from pouch.agents.sandboxes.errors import SaveFailed
from pouch.agents.sandboxes.types import MIB, Command, Sandbox
from pouch.agents.sandboxes.visible import program

TIMEOUT_S = 300


async def restore(
    sandbox: Sandbox, bundle: Path | None, branch: str, session: Path | None, *, bundled_branch: str = ""
) -> None:
    """Begin the branch where the bundle ended, and give the engine its conversation back.

    `bundled_branch`: its name in the bundle, when that is another. Raises SaveFailed, SandboxFailed.
    """
    check_ref(branch)
    bundled = check_ref(bundled_branch or branch)
    command = Command(argv=program("restore", branch, bundled), phase="restore", timeout_s=TIMEOUT_S)
    process = await sandbox.execute(command)
    said = bytearray()

    async def listen() -> None:
        async for piece in process.output():
            said.extend(piece.data[: 4096 - len(said)])

    async with asyncio.TaskGroup() as group:
        group.create_task(listen())
        for name, path in (("run.bundle", bundle), ("session.json", session)):
            if path is not None:
                await _send(process.send, name, path)
        await process.send(bytes(2 * tarfile.BLOCKSIZE))
        await process.end_input()
    ending = await process.wait()
    if ending.code:
        raise SaveFailed(f"The saved work could not be put back: {said.decode(errors='replace').strip()[-400:]}")


async def _send(send: Callable[[bytes], Awaitable[None]], name: str, path: Path) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = path.stat().st_size
    await send(entry.tobuf())
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, MIB):
            await send(piece)
    await send(bytes(-entry.size % tarfile.BLOCKSIZE))
