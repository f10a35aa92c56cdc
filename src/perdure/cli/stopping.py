"""How a worker is told to stop: the first signal asks, the second hurries, the third ends the process."""

import logging
import os
import signal
from typing import TYPE_CHECKING

from perdure.cli.exits import Exit

if TYPE_CHECKING:
    import asyncio

    from perdure.engine.service import Engine

log = logging.getLogger("perdure.worker")


class Stopping:
    """Counts SIGTERM and SIGINT. `asked` is set by the first of them."""

    def __init__(self, engine: "Engine") -> None:
        import asyncio  # loaded by whoever makes one, not by --help

        self.asked = asyncio.Event()
        self.is_serving = False
        self.exit = Exit.OK
        self._engine = engine
        self._count = 0

    def listen(self, loop: "asyncio.AbstractEventLoop") -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.received, number)

    def received(self, number: signal.Signals) -> None:
        self._count += 1
        if self._count == 1:
            self.exit = Exit.INTERRUPTED if number == signal.SIGINT else Exit.OK
            log.info("%s: stopping; steps under way may end, once more to give them up", number.name)
            self.asked.set()
        elif self._count == 2:
            log.warning("%s: giving up the steps under way; once more to leave at once", number.name)
            if self.is_serving:
                self._engine.kill_attempts()
        else:
            os._exit(Exit.INTERRUPTED)  # whatever it still owned is recovered by the next worker, as after a crash
