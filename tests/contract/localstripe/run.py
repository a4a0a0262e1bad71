"""Runs localstripe on a free port of loopback, prints its address, and ends when its input does.

A program of its own, in an environment of its own: localstripe is GPL, and nothing of ours imports it. Its own command
would listen on every address of the machine.
"""

import asyncio
import json
import socket
import sys

import localstripe.server  # type: ignore[import-not-found]  # it is installed elsewhere
from aiohttp import web  # type: ignore[import-not-found]  # the same


async def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        runner = web.AppRunner(localstripe.server.app)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        print(json.dumps(f"http://127.0.0.1:{listener.getsockname()[1]}"), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await runner.cleanup()


asyncio.run(main())
