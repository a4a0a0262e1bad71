"""Whether the card processor answers: while it does not, every page says so, and spending goes on."""

import asyncio

import structlog

from pouch.base.languages import say
from pouch.payments.errors import KeyNotTaken, ProcessorRefused, ProcessorSilent
from pouch.payments.processor import Processor

EVERY_S = 30.0
EVERY_S_WHILE_DOWN = 5.0
SILENT_MAX = 2
"""One lost answer is no outage."""

_log = structlog.get_logger("pouch.payments")


class Watch:
    """Asks the processor now and then. `run` it beside the application."""

    def __init__(self, processor: Processor) -> None:
        self._processor = processor
        self._silent = 0

    @property
    def is_down(self) -> bool:
        """Whether it has not answered lately."""
        return self._silent >= SILENT_MAX

    def alarm(self) -> str | None:
        """What every page says while it is down."""
        if not self.is_down:
            return None
        return say("Cards cannot be charged right now. Your credits go on working.")

    async def look(self) -> None:
        """Ask once."""
        was_down = self.is_down
        try:
            await self._processor.ping()
        except (KeyNotTaken, ProcessorRefused):
            # It answers, and that is all that is asked.
            self._silent = 0
        except ProcessorSilent as silent:
            self._silent += 1
            if self.is_down and not was_down:
                _log.error("processor_down", reason=silent.reason)
        else:
            self._silent = 0
        if was_down and not self.is_down:
            _log.info("processor_up")

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S_WHILE_DOWN if self._silent else EVERY_S)
