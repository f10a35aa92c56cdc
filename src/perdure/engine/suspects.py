"""Runs under whose code workers have died: each gets the process to itself for a while."""

import asyncio
from collections.abc import Callable

from perdure.engine.crumbs import Crumbs
from perdure.settings import Settings
from perdure.store.protocol import STRIKES_ALONE


class Suspects:
    """When the worker may claim nothing more, so that a suspect runs alone."""

    def __init__(self, settings: Settings, crumbs: Crumbs, on_acquitted: Callable[[], None]) -> None:
        self._settings = settings
        self._crumbs = crumbs
        self._on_acquitted = on_acquitted
        self._loop = asyncio.get_running_loop()
        self._strikes: dict[str, int] = {}
        self._alone: set[str] = set()
        self._alone_until = 0.0
        self._makes_room_until = 0.0

    def was_claimed(self, run_id: str, strikes: int) -> None:
        self._strikes[run_id] = strikes
        if strikes >= STRIKES_ALONE:
            self._alone.add(run_id)
            self._crumbs.say_alone(True)
            self._alone_until = self._loop.time() + self._settings.alone_seconds
            self._loop.call_later(self._settings.alone_seconds, self.acquit, run_id)

    def take_strikes(self, run_id: str) -> int:
        return self._strikes.pop(run_id, 0)

    def acquit(self, run_id: str) -> None:
        """It got past what it was suspected for, or left: others may run beside it again."""
        if run_id in self._alone:
            self._alone.discard(run_id)
            self._crumbs.say_alone(False)
            self._on_acquitted()

    def make_room(self) -> bool:
        """A suspect waits for a worker without other runs: claim nothing for a while. Whether that begins now."""
        now = self._loop.time()
        if now < self._makes_room_until:
            return False
        self._makes_room_until = now + self._settings.make_room_seconds
        return True

    def forbid_claims(self, is_alone: bool) -> bool:
        """`is_alone`: whether this worker has no run now."""
        now = self._loop.time()
        return (bool(self._alone) and now < self._alone_until) or (now < self._makes_room_until and not is_alone)

    def clear(self) -> None:
        self._strikes.clear()
        self._alone.clear()
