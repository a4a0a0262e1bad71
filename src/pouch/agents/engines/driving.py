"""Drive an engine through one turn: start it, read what it says, hand it messages, end it.

What the relay sees counts more than what the engine says. After the gateway's first 402 the engine is asked to end, and
is ended after a grace: some engines try again for ever, and some then say that all went well.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from pouch.agents.engines.lines import Lines, event_of, log
from pouch.agents.engines.types import Engine, Event, Finish, Turn
from pouch.agents.sandboxes.types import Ending, Notice, Process, Sandbox

REFUSED_GRACE_S = 5
QUEUE_EVENTS = 256


async def drive(sandbox: Sandbox, engine: Engine, turn: Turn) -> "Driving":
    """Start the engine on a turn. Raises SandboxFailed when it cannot be started."""
    process = await sandbox.execute(engine.command(turn))
    await process.send(engine.opening(turn))
    return Driving(sandbox, engine, process)


class Driving:
    """An engine at work."""

    def __init__(self, sandbox: Sandbox, engine: Engine, process: Process) -> None:
        self._sandbox = sandbox
        self._engine = engine
        self._process = process
        self._is_refused = False
        self._is_asked_to_stop = False
        self._stopping: asyncio.Task[None] | None = None
        self._finish: Finish | None = None

    async def events(self) -> AsyncGenerator[Event, None]:
        """Everything that happens, in order, until the engine has ended."""
        out, err = Lines(), Lines()
        try:
            async for piece in self._process.output():
                if piece.stream == "out":
                    for line in out.feed(piece.data):
                        for event in self._engine.read(line):
                            yield event
                else:
                    for line in err.feed(piece.data):
                        yield log(line)
            for line in out.rest():
                for event in self._engine.read(line):
                    yield event
            ending = await self._process.wait()
            self._finish = self._judge(ending)
            if ending.reason == "output_limit":
                yield event_of("notice", {"code": "output_limit", "text": "The agent said too much, so it was ended."})
        finally:
            await self._process.kill()
            if self._stopping is not None:
                with contextlib.suppress(asyncio.CancelledError):
                    await self._stopping

    async def say(self, text: str) -> bool:
        """Hand it a further message. False when this engine takes none while it runs."""
        line = self._engine.follow_up(text)
        if line is None or self._finish is not None:
            return False
        await self._process.send(line)
        return True

    async def stop(self, grace_s: float) -> None:
        """Ask it to end, and end it after the grace. A frozen one is thawed for it."""
        self._is_asked_to_stop = True
        await self._sandbox.thaw()
        request = self._engine.stop_request()
        if request is not None:
            await self._process.send(request)
        else:
            await self._process.terminate()
        try:
            async with asyncio.timeout(grace_s):
                await self._process.wait()
        except TimeoutError:
            await self._process.kill()

    def refused(self) -> None:
        """The gateway refused a call of this run for money: let the engine end."""
        self._is_refused = True
        if self._stopping is None:
            stopping = self.stop(REFUSED_GRACE_S)
            self._stopping = asyncio.get_running_loop().create_task(stopping, name="engine without credits")

    def notice(self, notice: Notice) -> Event | None:
        """What the sandbox saw from outside, as an event of the timeline; a refusal for money ends the engine."""
        if notice.kind == "refused":
            self.refused()
        return event_of_notice(notice)

    @property
    def finish(self) -> Finish:
        """How it ended, once `events` is over."""
        return self._finish or "killed"

    def _judge(self, ending: Ending) -> Finish:
        if ending.reason == "timed_out":
            return "timed_out"
        if self._is_refused:
            return "out_of_credits"
        if ending.reason == "killed" or ending.code < 0:
            return "killed"
        if ending.reason == "output_limit":
            return "failed"
        if self._is_asked_to_stop:
            return "stopped"
        claimed = self._engine.finish(ending.code)
        # Only the relay knows whether there is money left.
        return "failed" if claimed == "out_of_credits" else claimed


def event_of_notice(notice: Notice) -> Event:
    """A notice of the sandbox as an event."""
    if notice.kind == "egress_denied":
        return event_of("egress_denied", {"text": notice.text})
    return event_of("notice", {"code": notice.code or notice.kind, "text": notice.text})
