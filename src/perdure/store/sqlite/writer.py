"""The thread that writes: what is asked while one transaction is under way shares the next."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future as BlockingFuture
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

import apsw

from perdure.store.sqlite.renewer import Renewer
from perdure.store.sqlite.transactions import Done, Failed, Function, Outcome, Transactions
from perdure.store.sqlite.vigil import Vigil

T = TypeVar("T")
log = logging.getLogger("perdure.store")

FUNCTIONS_IN_ONE_TRANSACTION = 500
YIELD_SECONDS = 0.0015  # SQLite looks for its lock every millisecond: this long it is left free for processes that wait for it
YIELDED_TRANSACTIONS = 100  # so often after another process wrote; while we are alone nothing is left free
CLOSE_SECONDS = 30.0  # a thread that hangs in the kernel longer than this is left behind


@dataclass(frozen=True, slots=True)
class Asked:
    """By a task of the event loop."""

    function: Function[Any]
    answer: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class AskedNow:
    """By a thread that blocks until it is answered."""

    function: Function[Any]
    answer: BlockingFuture[Any]


class LookAround:
    """Makes the thread see that it is watched."""


class Stop:
    """The last thing the thread is given."""


Item = list[Asked] | AskedNow | LookAround | Stop


class Writer:
    """One transaction is under way at a time; the next one gathers on the event loop."""

    def __init__(self, transactions: Transactions, loop: asyncio.AbstractEventLoop, renewer: Renewer, wal: str) -> None:
        self._transactions = transactions
        self._loop = loop
        self._vigil: Vigil[Item] = Vigil(transactions, wal)
        self._gathering: list[Asked] = []
        self._creates = False
        self._is_scheduled = False
        self._is_under_way = False
        self._drained: asyncio.Future[None] | None = None
        self._callbacks: dict[object, Callable[[], None]] = {}
        self._opened: asyncio.Future[None] = loop.create_future()
        self._stopped: asyncio.Future[None] = loop.create_future()
        self._renewer = renewer
        self._renewals = 0
        self._yields_left = 0
        self._free_since = 0.0
        self._pause = threading.Event()  # never set
        self._thread = threading.Thread(target=self._work, name="perdure-writer", daemon=True)

    # ── on the event loop ────────────────────────────────────────────────────────────────────────────────────────────

    async def open(self, create: bool) -> None:
        self._creates = create
        self._thread.start()
        await asyncio.shield(self._opened)

    def abandon(self) -> None:
        """While it opens."""
        self._opened.add_done_callback(lambda opened: opened.cancelled() or opened.exception())  # nobody else asks what became of it
        self._vigil.put(Stop())

    def ask(self, function: Function[T]) -> Awaitable[T]:
        answer = self._loop.create_future()
        self._gathering.append(Asked(function, answer))
        self._schedule()
        return answer

    def ask_now(self, function: Function[T]) -> T:
        """From any thread."""
        answer: BlockingFuture[T] = BlockingFuture()
        self._vigil.put(AskedNow(function, answer))
        return answer.result()

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        place = object()
        self._callbacks[place] = callback
        self._transactions.watches = True
        self._vigil.put(LookAround())

        def stop() -> None:
            self._callbacks.pop(place, None)
            self._transactions.watches = bool(self._callbacks)

        return stop

    async def close(self) -> None:
        self._callbacks.clear()
        self._transactions.watches = False
        if not self._thread.ident or self._opened.exception():
            return
        while self._gathering or self._is_under_way:
            self._drained = self._loop.create_future()
            await self._drained
        self._vigil.put(Stop())
        async with asyncio.timeout(CLOSE_SECONDS):
            await asyncio.shield(self._stopped)
        self._thread.join()

    def _schedule(self) -> None:
        """One turn of the loop later, so that a start and the claim that follows it in the next turn share one transaction."""
        if not self._is_scheduled and not self._is_under_way:
            self._is_scheduled = True
            self._loop.call_soon(self._loop.call_soon, self._flush)

    def _flush(self) -> None:
        self._is_scheduled = False
        batch = [asked for asked in self._gathering[:FUNCTIONS_IN_ONE_TRANSACTION] if not asked.answer.done()]
        del self._gathering[:FUNCTIONS_IN_ONE_TRANSACTION]
        if batch:
            self._is_under_way = True
            self._vigil.put(batch)
        else:
            self._go_on()

    def _answered(self, batch: list[Asked], outcomes: list[Outcome]) -> None:
        self._is_under_way = False
        for asked, outcome in zip(batch, outcomes, strict=True):
            answer(asked.answer, outcome)
        self._go_on()

    def _go_on(self) -> None:
        if self._gathering:
            self._schedule()
        elif self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _tell(self) -> None:
        for callback in list(self._callbacks.values()):
            callback()

    # ── on the thread ────────────────────────────────────────────────────────────────────────────────────────────────

    def _work(self) -> None:
        try:
            self._transactions.open(self._creates)
        except Exception as error:  # handed to whoever opens the store
            self._loop.call_soon_threadsafe(answer, self._opened, Failed(error))
            return
        try:
            with closing(self._vigil):
                self._loop.call_soon_threadsafe(answer, self._opened, Done(None))
                while self._serve():
                    pass
        except RuntimeError:
            self._transactions.close()
            if self._loop.is_closed():  # with the store still open: nobody is left to answer to
                return
            raise
        try:
            self._transactions.close()
        except apsw.Error as error:  # all that was acknowledged is in the WAL: the next to open the store finds it there
            log.warning("the store could not be closed cleanly: %s", error)
        self._loop.call_soon_threadsafe(answer, self._stopped, Done(None))

    def _serve(self) -> bool:
        """One item at most; False after the last."""
        item = self._vigil.next()
        if isinstance(item, Stop):
            return False
        if item is not None:
            self._do(item)
        if self._transactions.others_wrote:
            self._transactions.others_wrote = False
            are_others = self._renewals == self._renewer.commits  # else it was this process, renewing its lease
            self._renewals = self._renewer.commits
            if are_others:
                self._yields_left = YIELDED_TRANSACTIONS
            self._vigil.noticed(are_others=are_others)
            self._loop.call_soon_threadsafe(self._tell)
        return True

    def _yield_to_others(self) -> None:
        """Else a process that commits without a pause starves the others: they find its lock taken whenever they look."""
        if self._yields_left > 0:
            self._yields_left -= 1
            left = self._free_since + YIELD_SECONDS - self._loop.time()
            if left > 0:
                self._pause.wait(left)

    def _do(self, item: list[Asked] | AskedNow | LookAround) -> None:
        if isinstance(item, list):
            self._yield_to_others()
            outcomes = self._transactions.run([asked.function for asked in item])
            self._free_since = self._loop.time()
            self._loop.call_soon_threadsafe(self._answered, item, outcomes)
        elif isinstance(item, AskedNow):
            match self._transactions.run([item.function])[0]:
                case Done(value):
                    item.answer.set_result(value)
                case Failed(error):
                    item.answer.set_exception(error)
        self._transactions.tidy()  # only now: nobody waits for it


def answer(future: asyncio.Future[Any], outcome: Outcome) -> None:
    """One that was cancelled meanwhile wants to know nothing."""
    if future.done():
        return
    match outcome:
        case Done(value):
            future.set_result(value)
        case Failed(error):
            future.set_exception(error)
