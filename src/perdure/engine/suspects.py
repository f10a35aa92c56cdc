"""Runs under whose code workers have died: each gets the process to itself for a while."""

import asyncio
from collections.abc import Callable, Mapping

from perdure.engine.crumbs import Crumbs
from perdure.engine.live import LiveRun
from perdure.settings import Settings
from perdure.store.protocol import STRIKES_ALONE


class Suspects:
    """When the worker may claim nothing more, so that a suspect runs alone."""

    def __init__(
        self,
        settings: Settings,
        loop: asyncio.AbstractEventLoop,
        crumbs: Crumbs,
        live: Mapping[str, LiveRun],
        on_acquitted: Callable[[], None],
    ) -> None:
        """`on_acquitted` is called when others may be claimed again."""
        self._settings = settings
        self._crumbs = crumbs
        self._live = live
        self._on_acquitted = on_acquitted
        self._loop = loop
        self._strikes: dict[str, int] = {}
        self._alone: set[str] = set()
        self._alone_until = 0.0
        self._makes_room_until = 0.0
        self._room_again_at = 0.0
        self._room_seconds = settings.make_room_seconds_first

    def was_claimed(self, run_id: str, strikes: int) -> None:
        self._strikes[run_id] = strikes
        if strikes >= STRIKES_ALONE:
            self._alone.add(run_id)
            self._crumbs.say_alone(True)
            self._room_seconds = self._settings.make_room_seconds_first
            self._alone_until = self._loop.time() + self._settings.alone_seconds_most * 2 ** (strikes - STRIKES_ALONE)
            self._loop.call_later(self._settings.alone_seconds, self._time_is_over, run_id)

    def take_strikes(self, run_id: str) -> int:
        return self._strikes.pop(run_id, 0)

    def _time_is_over(self, run_id: str) -> None:
        """Code that kills may take its time: while a step of the suspect is under way, it stays alone, much longer."""
        run = self._live.get(run_id)
        if run_id in self._alone and run is not None and run.attempts and self._loop.time() < self._alone_until:
            self._loop.call_later(self._settings.alone_seconds, self._time_is_over, run_id)
        else:
            self.acquit(run_id)

    def acquit(self, run_id: str) -> None:
        """It got past what it was suspected for, or left: others may run beside it again."""
        if run_id in self._alone:
            self._alone.discard(run_id)
            self._crumbs.say_alone(False)
            self._on_acquitted()

    def make_room(self) -> bool:
        """A suspect waits for a worker without other runs: claim nothing for a while. Whether that begins now.

        Each time in vain the next is longer, and others are claimed for ten times as long before it: a long step may be under way.
        """
        now = self._loop.time()
        if now < self._room_again_at:
            return False
        self._makes_room_until = now + self._room_seconds
        self._room_again_at = now + self._room_seconds * (1 + self._settings.make_room_pauses)
        self._loop.call_later(self._room_seconds, self._on_acquitted)
        self._room_seconds = min(2 * self._room_seconds, self._settings.make_room_seconds)
        return True

    def forbid_claims(self, is_alone: bool) -> bool:
        """`is_alone`: whether this worker has no run now."""
        now = self._loop.time()
        return (bool(self._alone) and now < self._alone_until) or (now < self._makes_room_until and not is_alone)

    def clear(self) -> None:
        self._strikes.clear()
        self._alone.clear()
