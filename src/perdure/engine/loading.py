"""Reads the histories of claimed runs, a page at a time, so that claims bring no more into memory at once than can be replayed."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from perdure.engine.patience import insist
from perdure.settings import Settings
from perdure.store.protocol import Loaded, Store

log = logging.getLogger("perdure.engine")


class Loading:
    """`take_up` gets each run that was read, or None where it is not there, from a plain callback of the event loop."""

    def __init__(
        self,
        store: Store,
        loop: asyncio.AbstractEventLoop,
        settings: Settings,
        take_up: Callable[[str, Loaded | None], None],
        spawn: Callable[[Coroutine[Any, Any, None], str], None],
    ) -> None:
        self.wanted: set[str] = set()
        self._store = store
        self._settings = settings
        self._take_up = take_up
        self._spawn = spawn
        self._loop = loop
        self._waiting: deque[str] = deque()
        self._replays = 0

    def add(self, run_id: str) -> None:
        self.wanted.add(run_id)
        self._waiting.append(run_id)

    def clear(self) -> None:
        """What is being read is of no use any more."""
        self.wanted = set()
        self._waiting.clear()

    def replay_begins(self) -> None:
        """Of a history that came with its claim."""
        self._replays += 1

    def replay_ends(self) -> None:
        self._replays -= 1
        self.load_next()

    def load_next(self) -> None:
        room = self._settings.replays_at_once - self._replays
        if not self._waiting or room < self._settings.replays_at_once // 2:
            return  # a page at a time: one by one, each would be a trip to the store
        page = [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]
        self._replays += len(page)
        self._spawn(self._load(page, self.wanted), "perdure-load")

    async def _load(self, page: list[str], wanted: set[str]) -> None:
        loaded = await insist(lambda: self._store.load(page), self._settings, "histories cannot be read")
        self._loop.call_soon(self._loaded, page, loaded, wanted)

    def _loaded(self, page: list[str], loaded: Mapping[str, Loaded], wanted: set[str]) -> None:
        """`wanted` as it was when they were asked for: after `clear` it is another."""
        for run_id in page:
            is_wanted = wanted is self.wanted and run_id in wanted
            if is_wanted:
                wanted.discard(run_id)
                self._guarded(run_id, loaded.get(run_id))
            else:
                self.replay_ends()

    def _guarded(self, run_id: str, found: Loaded | None) -> None:
        try:
            self._take_up(run_id, found)
        except Exception as error:
            log.error("run %s could not be taken up; the next sweep tries again", run_id, exc_info=error)
            self.replay_ends()
