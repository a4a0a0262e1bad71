"""Waiting for child processes, and ending them, without blocking the event loop."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterable

POLL_S = 0.05


async def ended(process: subprocess.Popen[bytes]) -> int:
    """Wait until a child ends, reap it and return its code: negative is the signal that ended it."""
    if not hasattr(os, "pidfd_open"):
        return await _polled(process)
    try:
        watch = os.pidfd_open(process.pid)
    except OSError:  # reaped already, or a system that knows the call and forbids it
        return await _polled(process)
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(watch, over.set)
    try:
        if process.poll() is None:
            await over.wait()
    finally:
        loop.remove_reader(watch)
        os.close(watch)
    return process.wait()


async def stop(process: subprocess.Popen[bytes], steps: Iterable[tuple[signal.Signals, float]]) -> int:
    """Send one signal after the other, each with its patience in seconds, and SIGKILL at last. Returns the code."""
    for signal_, patience_s in steps:
        process.send_signal(signal_)
        try:
            return await asyncio.wait_for(ended(process), patience_s)
        except TimeoutError:
            continue
    process.kill()
    return await ended(process)


async def _polled(process: subprocess.Popen[bytes]) -> int:
    while (code := process.poll()) is None:  # noqa: ASYNC110 -- no event tells of it on this system
        await asyncio.sleep(POLL_S)
    return code
