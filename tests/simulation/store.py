"""The shipped SQLite store with virtual threads: its functions run inline, in the shipped transactions, with the faults of the seed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

import apsw

from perdure.clock import Clock
from perdure.errors import StoreError, StoreFailed, StoreUnavailable
from perdure.settings import Settings
from perdure.store.protocol import BadItem, FenceLost, UnknownOutcome
from perdure.store.sqlite.renewer import Renewer
from perdure.store.sqlite.store import SqliteStore
from perdure.store.sqlite.transactions import Connection, Done, Failed, Function, Outcome, Transactions, commit_transaction
from tests.simulation.audit import Auditor
from tests.simulation.faults import AT_COMMIT, Faults, Trouble
from tests.simulation.hints import Hints
from tests.simulation.watching import RowChange, WatchedDatabase
from tests.simulation.world import Killed, Process

T = TypeVar("T")
Asked = tuple[Function[Any], "asyncio.Future[Any]"]


class VirtualStore(SqliteStore):
    """Without lock files: two simulated processes are one process to the kernel, so that the lease alone decides who is dead."""

    @property
    def locks_folder(self) -> None:
        return None

    @property
    def is_busy(self) -> bool:
        return cast(VirtualRunner, self.runner).is_busy


class VirtualRunner:
    """One of these per process. What is asked while a transaction is under way shares the next one."""

    def __init__(self, path: str, process: Process, faults: Faults, hints: Hints, auditor: Auditor) -> None:
        database = WatchedDatabase(path)
        database.changed = self._changed
        database.rolled_back = self._rolled_back
        database.refuses_big_rows = faults.swarm.has("refusals")
        self._process = process
        self._faults = faults
        self._hints = hints
        self._auditor = auditor
        self._database = database
        self._transactions = Transactions(database, self._commit)
        self._renewer = Renewer(database)
        self._reader: Connection | None = None
        self._gathering: list[Asked] = []
        self._reading = 0
        self._is_under_way = False
        self._is_closed = False
        self._trouble = Trouble.NONE
        self._pending: list[RowChange] = []
        self._drained: asyncio.Future[None] | None = None
        process.on_death.append(self._let_go)

    @property
    def is_busy(self) -> bool:
        return self._is_under_way or bool(self._gathering or self._reading)

    # ── what the store asks for ──────────────────────────────────────────────────────────────────────────────────────

    def write(self, function: Function[T]) -> Awaitable[T]:
        self._refuse_closed()
        answer: asyncio.Future[T] = self._process.loop.create_future()
        self._gathering.append((function, answer))
        self._schedule()
        return answer

    def read(self, function: Function[T]) -> Awaitable[T]:
        self._refuse_closed()
        answer: asyncio.Future[T] = self._process.loop.create_future()
        self._reading += 1
        self._later(lambda: self._read(function, answer))
        return answer

    def write_now(self, function: Function[T]) -> T:
        self._refuse_closed()
        if self._faults.refuses_renewal(self._process):
            raise StoreUnavailable("simulated: the lease cannot be renewed")
        value = self._renewer.run(function)
        self._committed(is_renewal=True)
        return value

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        return self._hints.watch(self._process, callback)

    async def close(self) -> None:
        while self._gathering or self._is_under_way or self._reading:
            self._drained = self._process.loop.create_future()
            await self._drained
        self._is_closed = True
        self._let_go()

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _schedule(self) -> None:
        if not self._is_under_way:
            self._is_under_way = True
            self._later(self._transact)

    def _transact(self) -> None:
        most = self._faults.swarm.transaction_most
        batch = [asked for asked in self._gathering[:most] if not asked[1].done()]
        del self._gathering[:most]
        if not batch:
            self._answered([], [])
            return
        try:
            outcomes = self._outcomes([function for function, _ in batch])
        except Killed:
            return
        self._later(lambda: self._answered(batch, outcomes))

    def _outcomes(self, functions: Sequence[Function[Any]]) -> list[Outcome]:
        self._trouble = self._faults.of_transaction(self._process)
        if self._trouble is not Trouble.NONE:
            self._process.world.note(f"{self._process.label}: a transaction is {self._trouble.value}")
        if self._trouble is Trouble.REFUSED:
            return [Failed(StoreUnavailable("simulated: the store is busy; nothing was written")) for _ in functions]
        if self._trouble is Trouble.FULL:
            outcomes = self._transactions.run([*functions, disk_full])[:-1]
        else:
            outcomes = self._transactions.run(functions)
        for outcome in outcomes:
            self._tell(outcome)
        return outcomes

    def _commit(self, db: Connection) -> None:
        """In the place of COMMIT."""
        trouble = self._trouble
        if trouble is not Trouble.BUSY:  # which is met twice
            self._trouble = Trouble.NONE
        if trouble in (Trouble.NONE, Trouble.LOST, Trouble.SYNC_LOST, Trouble.KILLED_AFTER) or trouble not in AT_COMMIT:
            commit_transaction(db)
            self._committed(is_known=trouble not in (Trouble.LOST, Trouble.SYNC_LOST))
        elif trouble is Trouble.UNDONE:
            self._auditor.was_undone(self._process, self._pending)
        if trouble in (Trouble.LOST, Trouble.UNDONE):
            raise apsw.IOError("simulated: COMMIT failed")
        if trouble in (Trouble.SYNC_LOST, Trouble.SYNC_UNDONE):
            error = apsw.IOError("simulated: fsync failed")
            error.extendedresult = apsw.SQLITE_IOERR_FSYNC
            raise error
        if trouble in (Trouble.KILLED_BEFORE, Trouble.KILLED_AFTER):
            self._process.world.saw("killed between COMMIT and its reply" if trouble is Trouble.KILLED_AFTER else "killed before COMMIT")
            self._process.kill()
            raise Killed
        if trouble is Trouble.BUSY:
            raise apsw.BusyError("simulated: busy")

    def _answered(self, batch: Sequence[Asked], outcomes: Sequence[Outcome]) -> None:
        self._is_under_way = False
        for (_, answer), outcome in zip(batch, outcomes, strict=True):
            settle(answer, outcome)
        if self._gathering:
            self._schedule()
        self._wake_closer()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _read(self, function: Function[Any], answer: "asyncio.Future[Any]") -> None:
        outcome: Outcome
        if self._faults.refuses_read(self._process):
            outcome = Failed(StoreUnavailable("simulated: the store cannot be read"))
        else:
            try:
                outcome = Done(self._inside_transaction(function))
            except StoreError as error:
                outcome = Failed(error)
        self._later(lambda: self._was_read(answer, outcome))

    def _inside_transaction(self, function: Function[T]) -> T:
        if self._reader is None:
            self._reader = self._database.connect_reader()
        self._reader.execute("begin").fetchall()
        try:
            return function(self._reader)
        finally:
            self._reader.execute("commit").fetchall()

    def _was_read(self, answer: "asyncio.Future[Any]", outcome: Outcome) -> None:
        self._reading -= 1
        settle(answer, outcome)
        self._wake_closer()

    # ── what happens to the rows ─────────────────────────────────────────────────────────────────────────────────────

    def _changed(self, change: RowChange) -> None:
        self._pending.append(change)

    def _rolled_back(self) -> None:
        self._pending.clear()

    def _committed(self, *, is_known: bool = True, is_renewal: bool = False) -> None:
        changes, self._pending = self._pending, []
        self._auditor.committed(self._process, changes, is_known)
        if not is_renewal or changes:
            self._hints.wrote(self._process, changes)

    def _tell(self, outcome: Outcome) -> None:
        world = self._process.world
        match outcome:
            case Failed(FenceLost()):
                world.note(f"{self._process.label}: the fence holds")
                world.saw("a stale commit was refused")
            case Failed(BadItem()):
                world.saw("the database refused a row")
            case Failed(UnknownOutcome()):
                world.saw("an outcome was unknown")
            case Failed(StoreFailed()):
                world.saw("the disk failed to sync")

    # ── threads and their end ────────────────────────────────────────────────────────────────────────────────────────

    def _later(self, happens: Callable[[], None]) -> None:
        self._process.world.later(self._faults.delay(), happens, self._process)

    def _wake_closer(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _refuse_closed(self) -> None:
        if self._is_closed or not self._process.is_alive:
            raise StoreError("simulated: the store is closed")

    def _let_go(self) -> None:
        self._transactions.close()
        self._renewer.close()
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def disk_full(_db: Connection) -> None:
    raise apsw.FullError("simulated: the disk is full")


def settle(answer: "asyncio.Future[Any]", outcome: Outcome) -> None:
    if answer.done():
        return
    match outcome:
        case Done(value):
            answer.set_result(value)
        case Failed(error):
            answer.set_exception(error)


def open_virtual_store(
    path: str, namespace: str, clock: Clock, settings: Settings, process: Process, faults: Faults, hints: Hints, auditor: Auditor
) -> VirtualStore:
    runner = VirtualRunner(path, process, faults, hints, auditor)
    swarm = faults.swarm
    pages = replace(
        settings,
        inbox_page=swarm.inbox_page,
        inbox_page_bytes=swarm.inbox_page_bytes,
        claim_page=swarm.claim_page,
        claim_page_bytes=swarm.claim_page_bytes,
    )
    return VirtualStore(
        path,
        namespace=namespace,
        clock=clock,
        runner=runner,
        settings=pages,
    )
