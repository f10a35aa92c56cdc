"""Reads the histories of claimed runs, a page at a time, so that claims bring no more into memory at once than can be replayed."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from perdure.engine.patience import insist
from perdure.settings import Settings
from perdure.store.protocol import Loaded, Store, left_to_load

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
        self._bytes = 0  # of histories that were read and not replayed yet; of a page that is being read all that it may have

    def add(self, run_id: str) -> None:
        self.wanted.add(run_id)
        self._waiting.append(run_id)

    def clear(self) -> None:
        """What is being read is of no use any more."""
        self.wanted = set()
        self._waiting.clear()

    def replay_begins(self, loaded: Loaded) -> None:
        """Of a history that came with its claim."""
        self._replays += 1
        self._bytes += loaded.size

    def replay_ends(self, loaded: Loaded | None) -> None:
        self._replays -= 1
        self._bytes -= 0 if loaded is None else loaded.size
        self.load_next()

    def load_next(self) -> None:
        """A page at a time: one by one, each would be a trip to the store."""
        most = self._settings.replay_bytes // 2  # so that one page is read while another is replayed
        room = self._settings.replays_at_once - self._replays
        if not self._waiting or room < max(1, self._settings.replays_at_once // 2) or self._bytes > most:
            return
        page = [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]
        self._replays += len(page)
        self._bytes += most
        self._spawn(self._load(page, most, self.wanted), "perdure-load")

    async def _load(self, page: list[str], most: int, wanted: set[str]) -> None:
        try:
            loaded = await insist(lambda: self._store.load(page, most), self._settings, "histories cannot be read")
        except asyncio.CancelledError:  # by somebody who cancels every task there is: read again, unless this life is over
            self._loop.call_soon(self._not_loaded, page, most, wanted)
            raise
        self._loop.call_soon(self._loaded, page, most, loaded, wanted)

    def _loaded(self, page: list[str], most: int, loaded: Mapping[str, Loaded], wanted: set[str]) -> None:
        """`wanted` as it was when they were asked for: after `clear` it is another."""
        self._bytes += sum(one.size for one in loaded.values()) - most
        left = left_to_load(page, loaded, most)
        if left:
            self._put_back(left, wanted)
        for run_id in page[: len(page) - len(left)]:
            is_wanted = wanted is self.wanted and run_id in wanted
            if is_wanted:
                wanted.discard(run_id)
                self._guarded(run_id, loaded.get(run_id))
            else:
                self.replay_ends(loaded.get(run_id))
        self.load_next()

    def _not_loaded(self, page: list[str], most: int, wanted: set[str]) -> None:
        self._bytes -= most
        self._put_back(page, wanted)
        self.load_next()

    def _put_back(self, left: Sequence[str], wanted: set[str]) -> None:
        """They come next."""
        self._replays -= len(left)
        if wanted is self.wanted:
            self._waiting.extendleft(reversed(left))

    def _guarded(self, run_id: str, found: Loaded | None) -> None:
        try:
            self._take_up(run_id, found)
        except Exception as error:
            log.error("run %s could not be taken up; the next sweep tries again", run_id, exc_info=error)
            self.replay_ends(found)
