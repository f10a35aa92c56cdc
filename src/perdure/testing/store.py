"""The shipped SQLite store without its threads: a transaction is one callback of the test's loop, and a process can die in it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from perdure.errors import StoreError
from perdure.model.runs import NewRun
from perdure.store.protocol import Checkpoint, Claimant, Committed, Started
from perdure.store.sqlite.store import SqliteStore
from perdure.store.sqlite.transactions import Connection, Done, Failed, Function, Outcome, Transactions

T = TypeVar("T")
Asked = tuple[Function[Any], "asyncio.Future[Any]"]


class ProcessKilled(StoreError):
    """The process that asked was killed by the test; what it asked for may or may not have been committed."""

    code = "process_killed"


class Killed(BaseException):
    """Ends a transaction before its COMMIT."""


class LifeStore(SqliteStore):
    """Without lock files: all lives of a test are one process to the kernel, so that the lease alone decides who is dead."""

    batch = Checkpoint("", 0, 0)
    """What is being committed, or was last."""

    async def checkpoint(self, batch: Checkpoint) -> Committed:
        self.batch = batch
        return await super().checkpoint(batch)

    async def start(self, run: NewRun, claimant: Claimant | None = None) -> Started:
        """Without the claim: it comes with a checkpoint, like all others before and after which a process can be killed."""
        del claimant
        return await super().start(run)

    @property
    def locks_folder(self) -> None:
        return None


class InlineRunner:
    """Belongs to one life. What is asked in one turn of the loop shares a transaction, as it does on the shipped threads."""

    def __init__(
        self,
        transactions: Transactions,
        real: asyncio.AbstractEventLoop,
        stirs: Callable[[], None],
        dies_before: Callable[[Committed], bool],
        dies_after: Callable[[Committed], bool],
        kill: Callable[[], None],
    ) -> None:
        self._transactions = transactions
        self._real = real
        self._stirs = stirs
        self._dies_before = dies_before
        self._dies_after = dies_after
        self._kill = kill
        self._gathering: list[Asked] = []
        self._is_scheduled = False
        self._is_closed = False

    # ── what the store asks for ──────────────────────────────────────────────────────────────────────────────────────

    def write(self, function: Function[T]) -> Awaitable[T]:
        if self._is_closed:
            raise ProcessKilled("the store is closed, or its process was killed")
        self._stirs()
        answer: asyncio.Future[T] = self._real.create_future()
        self._gathering.append((function, answer))
        if not self._is_scheduled:
            self._is_scheduled = True
            self._real.call_soon(self._real.call_soon, self._flush)
        return answer

    def read(self, function: Function[T]) -> Awaitable[T]:
        return self.write(function)

    def write_now(self, function: Function[T]) -> T:
        match self._transactions.run([function])[0]:
            case Done(value):
                done: T = value
                return done
            case Failed(error):
                raise error

    def watch(self, _callback: Callable[[], None]) -> Callable[[], None]:
        return lambda: None  # nobody else writes here

    async def close(self) -> None:
        asked = [answer for _, answer in self._gathering]
        if asked:
            await asyncio.wait(asked)
        self._is_closed = True

    # ── transactions ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _flush(self) -> None:
        self._is_scheduled = False
        batch = [asked for asked in self._gathering if not asked[1].done()]
        self._gathering.clear()
        if not batch:
            return
        self._stirs()
        try:
            outcomes = self._transactions.run([self._mortal(function) for function, _ in batch])
        except Killed:
            self._gathering = batch
            self._kill()
            return
        if any(isinstance(one, Done) and isinstance(one.value, Committed) and self._dies_after(one.value) for one in outcomes):
            self._gathering = batch
            self._kill()
            return
        self._answer(batch, outcomes)

    def _mortal(self, function: Function[Any]) -> Function[Any]:
        def run(db: Connection) -> Any:
            value = function(db)
            if isinstance(value, Committed) and self._dies_before(value):
                raise Killed
            return value

        return run

    def _answer(self, batch: Sequence[Asked], outcomes: Sequence[Outcome]) -> None:
        for (_, answer), outcome in zip(batch, outcomes, strict=True):
            if answer.done():
                continue
            match outcome:
                case Done(value):
                    answer.set_result(value)
                case Failed(error):
                    answer.set_exception(error)

    def die(self) -> None:
        """Nothing more is answered; whoever asked and outlives the process is told so."""
        self._is_closed = True
        asked, self._gathering = self._gathering, []
        for _, answer in asked:
            if not answer.done():
                answer.set_exception(ProcessKilled("the process that asked was killed"))
