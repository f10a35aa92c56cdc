"""How a worker is told to stop: the first signal asks, the second hurries, the third ends the process."""

import logging
import os
import signal
from typing import TYPE_CHECKING

from perdure.cli.exits import Exit

if TYPE_CHECKING:
    import asyncio
    from types import FrameType

    from perdure.engine.service import Engine

log = logging.getLogger("perdure.worker")


class Stopping:
    """Counts SIGTERM and SIGINT. `asked` is set by the first of them."""

    def __init__(self, engine: "Engine", loop: "asyncio.AbstractEventLoop") -> None:
        import asyncio  # loaded by whoever makes one, not by --help

        self.asked = asyncio.Event()
        self.is_serving = False
        self.exit = Exit.OK
        self._engine = engine
        self._loop = loop
        self._count = 0

    def listen(self) -> None:
        """Not through the event loop: a step that blocks it must not make the process deaf to the third signal."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._received)

    def _received(self, number: int, _frame: "FrameType | None") -> None:
        self._count += 1
        if self._count > 2:
            os._exit(Exit.INTERRUPTED)  # whatever it still owned is recovered by the next worker, as after a crash
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ask if self._count == 1 else self._hurry, signal.Signals(number))

    def ask(self, why: str) -> None:
        """Somebody else than a signal wants the end."""
        log.warning("stopping: %s", why)
        self.asked.set()

    def _ask(self, number: signal.Signals) -> None:
        log.info("%s: stopping; steps under way may end, once more to give them up", number.name)
        self.exit = Exit.INTERRUPTED if number == signal.SIGINT else Exit.OK
        self.asked.set()

    def _hurry(self, number: signal.Signals) -> None:
        log.warning("%s: giving up the steps under way; once more to leave at once", number.name)
        if self.is_serving:
            self._engine.kill_attempts()
