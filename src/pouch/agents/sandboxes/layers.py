"""What set-ups made, kept on this machine, so that the next run of the same environment has it at once.

Rules. A layer belongs to one organization, and is found only under its name: a digest of what the set-up saw, which is
repository and branch (what a strange branch prepared is never found by another), commands, variables, secrets, tools
and lock files. So one that does not fit any more is never found. It is packed and unpacked inside of sandboxes: here it
is bytes. Old ones go, and the longest unused where there are too many.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import structlog

from pouch.agents.sandboxes.errors import SandboxFailed
from pouch.agents.sandboxes.types import MIB, Command, Output, Sandbox
from pouch.agents.sandboxes.visible import program

TIMEOUT_S = 300
ENDING = ".layer"
DRAFT_MAX_S = 3600

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LayerName:
    """Whose layer it is, and what it was made from."""

    organization_id: UUID
    key: str

    @classmethod
    def of(cls, organization_id: UUID, *parts: str) -> "LayerName":
        """Name a layer by everything that it was made from."""
        digest = sha256()
        for part in parts:
            raw = part.encode()
            digest.update(b"%d:" % len(raw) + raw)
        return cls(organization_id, digest.hexdigest())


class Layers:
    """The layers of one machine."""

    def __init__(self, root: Path, *, bytes_max: int, days_max: int) -> None:
        """`root` is the worker's own, and nobody else's."""
        self._root = root
        self._bytes_max = bytes_max
        self._seconds_max = days_max * 24 * 3600

    async def recall(self, sandbox: Sandbox, name: LayerName) -> bool:
        """Put a layer into a fresh workspace. False when there is none, or it could not be put there whole."""
        path = self._path(name)
        try:
            file = path.open("rb")
        except OSError:
            return False
        with file:
            os.utime(path)
            command = Command(program("layer", "unpack"), "restore", TIMEOUT_S)
            process = await sandbox.execute(command)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_ignore(process.output()))
                    while piece := await asyncio.to_thread(file.read, MIB):
                        await process.send(piece)
                    await process.end_input()
                ending = await process.wait()
            except BaseException:
                await process.kill()
                raise
        if ending.code or ending.reason != "exited":
            path.unlink(missing_ok=True)
            # The set-up runs as if there had been none; half a layer is no worse than a command that ran before.
            log.warning("agent_layer_broken", reason=ending.reason, code=ending.code)
            return False
        return True

    async def remember(self, sandbox: Sandbox, name: LayerName) -> None:
        """Keep what a set-up made. What is too large, or breaks, is not kept; nobody depends on it."""
        path = self._path(name)
        draft = path.with_name(f"{path.name}.{os.getpid()}-{time.monotonic_ns()}")
        command = Command(program("layer", "pack"), "restore", TIMEOUT_S, output_bytes_max=self._bytes_max // 2)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            process = await sandbox.execute(command)
            try:
                await process.end_input()
                with draft.open("wb") as file:
                    draft.chmod(0o600)
                    async for piece in process.output():
                        if piece.stream == "out":
                            await asyncio.to_thread(file.write, piece.data)
                ending = await process.wait()
            except BaseException:
                await process.kill()
                raise
            if ending.code == 0 and ending.reason == "exited":
                draft.replace(path)
            await asyncio.to_thread(self.evict)
        except (OSError, SandboxFailed) as error:
            log.warning("agent_layer_not_kept", error=type(error).__name__)
        finally:
            draft.unlink(missing_ok=True)

    def evict(self) -> None:
        """Remove what is too old, and the longest unused until the rest fits."""
        found: list[tuple[float, int, Path]] = []
        for path in self._root.glob("*/*"):
            with contextlib.suppress(OSError):
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
        now, kept = time.time(), 0
        for used_at, size, path in sorted(found, reverse=True):
            is_draft = path.suffix != ENDING
            if now - used_at > (DRAFT_MAX_S if is_draft else self._seconds_max) or kept + size > self._bytes_max:
                path.unlink(missing_ok=True)
            else:
                kept += size

    def _path(self, name: LayerName) -> Path:
        return self._root / name.organization_id.hex / f"{name.key}{ENDING}"


async def _ignore(said: AsyncIterator[Output]) -> None:
    async for _ in said:
        pass
