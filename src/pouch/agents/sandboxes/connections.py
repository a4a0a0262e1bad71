"""What serves a sandbox through a socket: every connection is answered by a task of its own, until it is stopped."""

import asyncio
import os
import socket
import struct
from abc import ABC, abstractmethod
from pathlib import Path


class Connections(ABC):
    """Listens, and knows what is under way. `uid`: the only account that may connect to its socket."""

    def __init__(self, uid: int | None) -> None:
        self._uid = uid
        self._under_way: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @abstractmethod
    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""

    async def start(self, path: Path) -> None:
        """Listen on a unix socket, which its owner alone may open."""
        self._server = await asyncio.start_unix_server(self._serve, path, backlog=64)
        path.chmod(0o600)
        if self._uid is not None:
            os.chown(path, self._uid, self._uid)

    async def stop(self) -> None:
        """End everything under way and stop listening."""
        if self._server is not None:
            self._server.close()
        for task in list(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection, wherever it came in."""
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        try:
            await self.answer(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # Cancelled by `stop` alone; Python 3.11 would log it as a fault of ours.
            return
        finally:
            self._under_way.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._uid is not None and peer_uid(writer) != self._uid:
            writer.close()
            return
        await self.serve(reader, writer)


def peer_uid(writer: asyncio.StreamWriter) -> int:
    """Whose process is at the other end of a unix socket."""
    connection: socket.socket = writer.get_extra_info("socket")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", credentials)[1]
    return uid
