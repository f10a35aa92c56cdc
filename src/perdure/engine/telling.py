"""Tells whoever asked to be told of troubles: each until the callback has succeeded, over restarts and by any worker."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from perdure.clock import SECOND, Microseconds, to_datetime
from perdure.codec.plain import describe_failure
from perdure.engine.patience import insist, pause
from perdure.engine.ports import Ports
from perdure.errors import StoreError, StoreFailed
from perdure.model.troubles import Trouble, TroubleRow
from perdure.settings import Settings
from perdure.store.protocol import Store

log = logging.getLogger("perdure.engine")

OnTrouble = Callable[[Trouble], Awaitable[None]]


class Telling:
    """A background service of an engine that has an `on_trouble`."""

    def __init__(self, store: Store, callback: OnTrouble, ports: Ports, settings: Settings) -> None:
        self._store = store
        self._callback = callback
        self._ports = ports
        self._settings = settings
        self._looked_at: Microseconds | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._tell_for_ever(), name="perdure-troubles")
        self._task.add_done_callback(_ended)

    def stop(self) -> None:
        """What is being told may be told once more, by whoever is there then. Idempotent."""
        if self._task is not None:
            self._task.cancel()

    async def _tell_for_ever(self) -> None:
        while True:
            try:
                await self._look_for_stranded()
                while await self._tell_page():
                    pass
            except StoreFailed:
                raise  # the worker of this engine meets it, too, and says so to whoever runs it
            except StoreError as error:
                # The next round begins anew; what was not settled is given out again.
                log.warning("the troubles could not be read: %s", error)
            await pause(self._settings.sweep_seconds * (0.9 + 0.2 * self._ports.chance.random()))

    async def _look_for_stranded(self) -> None:
        now = self._ports.clock.since_boot()
        if self._looked_at is None or now - self._looked_at >= self._settings.stranded_look_seconds * SECOND:
            await self._store.note_stranded(round(self._settings.stranded_seconds * SECOND), self._settings.stranded_most)
            self._looked_at = now

    async def _tell_page(self) -> bool:
        """Whether there may be more."""
        hold = round(2 * self._settings.trouble_seconds * SECOND)
        troubles = await self._store.take_troubles(self._settings.troubles_at_once, hold)
        await asyncio.gather(*map(self._tell, troubles))
        return len(troubles) == self._settings.troubles_at_once

    async def _tell(self, row: TroubleRow) -> None:
        self._ports.reached("trouble.taken")
        error = await self._call(told(row))
        again = None
        if error is None:
            self._ports.reached("trouble.told")
        elif row.tries >= self._settings.trouble_tries_most:
            log.error("run %s is %s, and on_trouble could not be told in %d tries; given up: %r", row.run_id, row.kind, row.tries, error)
        else:
            again = self._pause_after(row.tries)
            seconds = again / SECOND
            log.warning("run %s is %s, but on_trouble failed; it is called again in %g s: %r", row.run_id, row.kind, seconds, error)
        await insist(lambda: self._store.settle_trouble(row, again), self._settings, "what was told cannot be noted")

    async def _call(self, trouble: Trouble) -> Exception | None:
        """What went wrong."""
        try:
            async with asyncio.timeout(self._settings.trouble_seconds):
                answer: Any = self._callback(trouble)
                if inspect.isawaitable(answer):
                    await answer
        except Exception as error:  # recorded: it is told again
            return error
        return None

    def _pause_after(self, tries: int) -> Microseconds:
        first, most = self._settings.trouble_retry_seconds_first, self._settings.trouble_retry_seconds_most
        return round(min(most, first * 2.0 ** min(tries - 1, 30)) * SECOND)


def _ended(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        log.critical("troubles are not told by this engine any more", exc_info=task.exception())


def told(row: TroubleRow) -> Trouble:
    error = None if row.error is None else describe_failure(row.error)
    return Trouble(row.run_id, row.workflow, row.kind.value, error, to_datetime(row.at))
