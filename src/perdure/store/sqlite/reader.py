"""The thread that reads, on a connection of its own that cannot write."""

import asyncio
import threading
from collections.abc import Awaitable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import apsw

from perdure.store.sqlite.database import Database
from perdure.store.sqlite.failures import meaning_of
from perdure.store.sqlite.statements import fetch
from perdure.store.sqlite.transactions import Connection, Done, Failed, Function, Outcome
from perdure.store.sqlite.writer import CLOSE_SECONDS, Asked, answer

T = TypeVar("T")

ANSWERS_AT_ONCE = 50


class Reader:
    """Started with the first question."""

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        self._database = database
        self._loop = loop
        self._db: Connection | None = None
        self._items: SimpleQueue[Asked | None] = SimpleQueue()
        self._stopped: asyncio.Future[None] = loop.create_future()
        self._thread: threading.Thread | None = None

    def ask(self, function: Function[T]) -> Awaitable[T]:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="perdure-reader", daemon=True)
            self._thread.start()
        future = self._loop.create_future()
        self._items.put(Asked(function, future))
        return future

    async def close(self) -> None:
        """What was asked before is answered."""
        if self._thread is None:
            return
        self._items.put(None)
        async with asyncio.timeout(CLOSE_SECONDS):
            await asyncio.shield(self._stopped)
        self._thread.join()

    # ── on the thread ────────────────────────────────────────────────────────────────────────────────────────────────

    def _work(self) -> None:
        try:
            while self._serve():
                pass
        except RuntimeError:
            self._drop()
            if self._loop.is_closed():  # with the store still open: nobody is left to answer to
                return
            raise
        self._drop()
        self._loop.call_soon_threadsafe(answer, self._stopped, Done(None))

    def _serve(self) -> bool:
        """All that is asked by now, up to a limit, with one answer to the loop; False after the last."""
        asked = self._gathered()
        outcomes = [self._read(item.function) for item in asked if item is not None]
        self._loop.call_soon_threadsafe(answer_all, asked, outcomes)
        return None not in asked

    def _gathered(self) -> list[Asked | None]:
        asked = [self._items.get()]
        while len(asked) < ANSWERS_AT_ONCE and asked[-1] is not None:
            try:
                asked.append(self._items.get_nowait())
            except Empty:
                return asked
        return asked

    def _read(self, function: Function[Any]) -> Outcome:
        """In a transaction of its own, so that all it reads is of one moment."""
        try:
            self._database.check_files()
            if self._db is None:
                self._db = self._database.connect_reader()
            fetch(self._db, "begin")
            value = function(self._db)
            fetch(self._db, "commit")
            return Done(value)
        except Exception as error:  # handed to whoever asked
            self._drop()
            return Failed(meaning_of(error, self._database.path))

    def _drop(self) -> None:
        db, self._db = self._db, None
        if db is None:
            return
        try:
            db.close()
        except apsw.Error:
            self._unclosed = db  # kept, so that its end does not come at a random moment


def answer_all(asked: list[Asked | None], outcomes: list[Outcome]) -> None:
    for item, outcome in zip(asked, outcomes, strict=False):
        if item is not None:
            answer(item.answer, outcome)
