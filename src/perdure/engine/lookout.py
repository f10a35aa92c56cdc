"""Finds work: hints from the store, the next wake-up of a parked run, and the sweep that finds what every hint missed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from perdure.clock import SECOND, Instant
from perdure.engine.patience import pause
from perdure.engine.ports import Ports
from perdure.engine.sweep import sweep
from perdure.errors import StoreError, StoreFailed
from perdure.settings import Settings
from perdure.store.protocol import FenceLost, Store

log = logging.getLogger("perdure.engine")


class Lookout:
    """Tells a worker when to claim and which of its runs have signals. `spawn` runs a coroutine in the background."""

    def __init__(
        self,
        store: Store,
        workflows: Sequence[str],
        ports: Ports,
        settings: Settings,
        *,
        claim: Callable[[], None],
        signalled: Callable[[str], bool],
        spawn: Callable[[Coroutine[Any, Any, None], str], None],
    ) -> None:
        self._store = store
        self._workflows = workflows
        self._ports = ports
        self._settings = settings
        self._claim = claim
        self._signalled = signalled
        self._spawn = spawn
        self._loop = ports.loop()
        self._incarnation: Callable[[], str] = lambda: ""
        self._is_looking = False
        self._is_stopped = False
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at: Instant | None = None
        self._stop_watching: Callable[[], None] = lambda: None

    def start(self) -> None:
        self._stop_watching = self._store.on_change(self.look_around)

    def stop(self) -> None:
        self._is_stopped = True
        self._stop_watching()
        self._cancel_alarm()

    def look_around(self) -> None:
        """Somebody wrote to the store. Calls that come while a look is being prepared are one."""
        if not self._is_looking and not self._is_stopped:
            self._is_looking = True
            self._spawn(self._look_around(), "perdure-look")

    async def _look_around(self) -> None:
        self._is_looking = False  # what is written from here on is told anew
        try:
            seen = await self._store.outlook(self._workflows, self._incarnation(), self._settings.batch_rows)
        except StoreFailed:
            raise
        except StoreError as error:
            # The sweep looks again.
            log.warning("the store cannot be read now: %s", error)
            return
        for run_id in seen.addressed:
            self._signalled(run_id)
        if seen.is_claimable:
            self._claim()
        self._cancel_alarm()
        if seen.next_wake is not None:
            self.wake_by(seen.next_wake)

    def wake_by(self, moment: Instant) -> None:
        """A parked run is due at this moment, if not another before."""
        if self._is_stopped or (self._alarm_at is not None and self._alarm_at <= moment):
            return
        self._cancel_alarm()
        delay = max(0.001, (moment - self._ports.clock.now()) / SECOND)
        self._alarm_at, self._alarm = moment, self._loop.call_later(min(delay, self._settings.alarm_seconds_most), self._ring)

    def _ring(self) -> None:
        self._cancel_alarm()
        self._claim()
        self.look_around()

    def _cancel_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._alarm_at = None

    async def sweep_for_ever(
        self,
        incarnation: Callable[[], str],
        acknowledged: Callable[[], int],
        fenced: Callable[[str], None],
        check_owned: Callable[[], Awaitable[None]],
    ) -> None:
        """Until stopped. What fails in one round is met again in the next. `acknowledged`: the last checkpoint, `fenced`: it is lost."""
        self._incarnation = incarnation
        await self._sweep_until_cancelled(partial(self._sweep_again_and_again, incarnation, acknowledged, fenced, check_owned))

    async def _sweep_until_cancelled(self, sweeps: Callable[[], Awaitable[None]]) -> None:
        try:
            await sweeps()
        except asyncio.CancelledError:
            if not self._is_stopped:  # by somebody who cancels every task there is
                self._loop.call_later(self._settings.sweep_seconds, self._begin_to_sweep, sweeps)
            raise

    def _begin_to_sweep(self, sweeps: Callable[[], Awaitable[None]]) -> None:
        if not self._is_stopped:
            self._spawn(self._sweep_until_cancelled(sweeps), "perdure-sweep")

    async def _sweep_again_and_again(
        self,
        incarnation: Callable[[], str],
        acknowledged: Callable[[], int],
        fenced: Callable[[str], None],
        check_owned: Callable[[], Awaitable[None]],
    ) -> None:
        while not self._is_stopped:
            swept_as = incarnation()
            try:
                if await sweep(self._store, self._ports.clock, swept_as, self._workflows, self._settings, acknowledged):
                    self._claim()
                await check_owned()
                self._ports.reached("sweep.done")
            except StoreFailed:
                raise
            except FenceLost:
                self._loop.call_soon(fenced, swept_as)  # not here: workflow code is closed from plain callbacks only
            except StoreError as error:
                # The next round begins anew.
                log.warning("the sweep could not be finished: %s", error)
            self._is_looking = False  # whoever was to look may have been cancelled before
            self.look_around()
            await pause(self._settings.sweep_seconds * (0.9 + 0.2 * self._ports.chance.random()))
