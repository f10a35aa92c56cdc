"""Several workers on one machine: starts them, passes signals on, and starts anew what died."""

import asyncio
import logging
import signal
from collections.abc import Sequence

from perdure.cli.children import Child, ended_how
from perdure.cli.exits import Exit

log = logging.getLogger("perdure.worker")
RESTART_SECONDS_FIRST = 0.5
RESTART_SECONDS_MOST = 30.0
STEADY_SECONDS = 60.0  # a worker that lived this long starts its pauses anew when it dies


class Supervisor:
    """Keeps `count` workers alive until a signal comes. Gives up at once if the first of them cannot even begin."""

    def __init__(self, arguments: Sequence[str], count: int) -> None:
        self._arguments = arguments
        self._count = count
        self._children: set[Child] = set()
        self._codes: list[int] = []
        self._stop_asked = asyncio.Event()
        self._first_is_ready = asyncio.Event()
        self._received: list[signal.Signals] = []

    async def run(self) -> int:
        """The exit status: 0, or 130 after Ctrl-C, where all stopped cleanly; else the first that was not clean."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._pass_on, number)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep(is_first=True))
            await self._first_is_ready.wait()
            for _ in range(self._count - 1):
                group.create_task(self._keep())
        unclean = [code for code in self._codes if code not in (Exit.OK, Exit.INTERRUPTED)]
        if unclean:
            return unclean[0] if unclean[0] > 0 else 128 - unclean[0]
        return Exit.INTERRUPTED if signal.SIGINT in self._received or Exit.INTERRUPTED in self._codes else Exit.OK

    def _pass_on(self, number: signal.Signals) -> None:
        self._received.append(number)
        self._stop_asked.set()
        self._first_is_ready.set()
        for child in self._children:
            child.send_signal(number)

    async def _keep(self, *, is_first: bool = False) -> None:
        """One worker after the other, in one place."""
        loop = asyncio.get_running_loop()
        pause = RESTART_SECONDS_FIRST
        while not self._stop_asked.is_set():
            began = loop.time()
            code, was_ready = await self._live(is_first=is_first and not self._first_is_ready.is_set())
            if self._stop_asked.is_set():
                self._codes.append(code)
            elif is_first and not was_ready and not self._first_is_ready.is_set():
                self._codes.append(code)
                self._stop_asked.set()
                self._first_is_ready.set()
            else:
                if loop.time() - began >= STEADY_SECONDS:
                    pause = RESTART_SECONDS_FIRST
                log.warning("a worker process %s; its runs go to the others, a new one is started in %g s", ended_how(code), pause)
                await self._pause(pause)
                pause = min(2 * pause, RESTART_SECONDS_MOST)

    async def _live(self, *, is_first: bool) -> tuple[int, bool]:
        """The whole life of one process: its exit status, and whether it ever was ready."""
        child = Child(self._arguments)
        await child.start()
        self._children.add(child)
        for number in self._received:  # it came between the decision to start this one and now
            child.send_signal(number)
        waiter = asyncio.create_task(self._tell_when_ready(child)) if is_first else None
        try:
            code = await child.wait()
        finally:
            self._children.discard(child)
            if waiter is not None:
                waiter.cancel()
        return code, child.is_ready.is_set()

    async def _tell_when_ready(self, child: Child) -> None:
        await child.is_ready.wait()
        self._first_is_ready.set()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop_asked.wait()
        except TimeoutError:
            return  # the pause is over and nobody has asked for the end


def supervise(arguments: Sequence[str], count: int) -> int:
    async def supervised() -> int:
        return await Supervisor(arguments, count).run()

    return asyncio.run(supervised())
