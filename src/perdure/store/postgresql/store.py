"""The store protocol on PostgreSQL: each method asks one of the connections."""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence

from perdure.clock import Clock, HostClock, Instant, Microseconds
from perdure.errors import SchemaTooOld, StoreError, StoreNotFound
from perdure.model.findings import Finding, Group
from perdure.model.lost_records import Known, LostRecords
from perdure.model.records import Record
from perdure.model.runs import AttemptRow, NewRun, NewSignal, RunRow, WorkerRow
from perdure.model.states import RunState
from perdure.model.troubles import Stranded, TroubleRow
from perdure.settings import DEFAULTS, Settings
from perdure.store.callers.kinds import Caller
from perdure.store.calls import StepTransaction
from perdure.store.inside import Inside
from perdure.store.pages import pages_of
from perdure.store.postgresql import (
    checkpoints,
    lost_records,
    outdated,
    removal,
    requests,
    retries,
    runs,
    schema,
    signals,
    stranded,
    surveys,
    troubles,
    vitals,
    workers,
)
from perdure.store.postgresql.address import Address
from perdure.store.postgresql.connections import Committing, Connections, commit_as_asked
from perdure.store.postgresql.foresight import Foresight
from perdure.store.postgresql.hints import Hints
from perdure.store.postgresql.inside import InsidePostgresql, identity_query
from perdure.store.postgresql.looking import look
from perdure.store.postgresql.moments import DatabaseClock
from perdure.store.postgresql.places import locks_folder
from perdure.store.postgresql.renewer import Renewer
from perdure.store.postgresql.row_reads import RowReads
from perdure.store.postgresql.scope import Scope
from perdure.store.postgresql.starting import Starting
from perdure.store.postgresql.step_transactions import OpenTransaction, StepTransactions
from perdure.store.protocol import Checkpoint, Claimant, Committed, Loaded, Outlook, SchemaStatus, Started, Summary, Survey
from perdure.store.sending import keys_kept

THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class PostgresqlStore:
    """A namespace of one schema of one database. `clock` is for tests: without it the clock of the database counts."""

    def __init__(
        self,
        address: Address,
        *,
        namespace: str,
        clock: Clock | None = None,
        commit: Committing = commit_as_asked,
        python: str = THIS_PYTHON,
        settings: Settings = DEFAULTS,
    ) -> None:
        self._address = address
        self._authority = DatabaseClock(HostClock())
        self._scope = Scope(namespace, address.schema, clock, self._authority, address.is_portable)
        self._foresight = Foresight(self._scope)
        self._turn = asyncio.Lock()
        self._commit = commit
        self._python = python
        self._pages = pages_of(settings)
        self._keys_kept = keys_kept(settings)
        self._opened: Connections | None = None
        self._renewer = Renewer(address, self._scope)
        self._locks_folder: str | None = None

    async def open(self, *, create: bool, migrate: bool) -> None:
        if self._opened is not None:
            raise StoreError("the store is open already")
        connections = Connections(self._address, commit=self._commit)
        try:
            await self._migrate(connections, create, migrate)
        except BaseException:
            await connections.close()
            raise
        if self._scope.clock is None:
            await connections.read(lambda db: look(db, self._scope, (), self._pages, claims=False))
            self._locks_folder = await connections.read(lambda db: locks_folder(db, self._scope))
        self._opened = connections
        self._starting = Starting(connections, self._scope)
        self._row_reads = RowReads(connections, self._scope)
        self._hints = Hints(connections, self._scope)
        self._step_transactions = StepTransactions(connections, self._scope)

    async def _migrate(self, connections: Connections, create: bool, migrate: bool) -> None:
        status = await connections.read(lambda db: schema.read_status(db, self._scope))
        if status.version == 0 and not (create and migrate):
            raise StoreNotFound(
                f"there is no store at {self._address.shown}; start an Engine there, or run `perdure db migrate`, to create it"
            )
        if status.pending and not migrate:
            raise SchemaTooOld(
                f"{self._address.shown} lacks {', '.join(status.pending)}; run `perdure db migrate`", status.version, status.pending
            )
        if status.pending:
            await schema.migrate(connections, self._scope)

    async def close(self) -> None:
        if self._opened is not None and not self._opened.is_foreign:
            await self._starting.close()
            await self._row_reads.close()
            await self._hints.close()
            await self._step_transactions.close()
            await self._opened.close()
            await asyncio.get_running_loop().run_in_executor(None, self._renewer.close)

    @property
    def connections(self) -> Connections:
        if self._opened is None:
            raise StoreError("the store is not open")
        return self._opened

    async def schema(self) -> SchemaStatus:
        return await self.connections.read(lambda db: schema.read_status(db, self._scope))

    async def examine(self) -> Sequence[Finding]:
        return await self.connections.read(lambda db: vitals.examine(db, self._scope))

    @property
    def locks_folder(self) -> str | None:
        """Of this host and user. Whoever finds a worker's file there knows more than its lease says; elsewhere the lease decides."""
        return self._locks_folder

    def authority(self, host: Clock) -> Clock:
        return host if self._scope.clock is not None else self._authority

    @property
    def shares_commits(self) -> bool:
        return False

    @property
    def performs_calls(self) -> bool:
        return False  # a body that held the fence would hold up every run of its worker

    async def begin(self, connection: type | None) -> StepTransaction:
        self.connections.refuse_misuse()
        return await self._step_transactions.begin(connection)

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def register(self, worker: WorkerRow, lease: Microseconds) -> None:
        await self.connections.write(lambda db: workers.register(db, self._scope, worker, lease))

    async def checkpoint(self, batch: Checkpoint) -> Committed:
        async with self._turn:  # on two connections the second might come first
            if isinstance(batch.transaction, OpenTransaction):
                return await batch.transaction.end(self.connections, self._scope, batch, self._pages)
            done = await checkpoints.checkpoint(self.connections, self._scope, self._foresight, batch, self._pages)
        if any(change.ending is not None for change in batch.changes):
            self._hints.tell()
        return done

    async def checkpoint_of(self, incarnation: str) -> int | None:
        return await checkpoints.checkpoint_of(self.connections, self._scope, incarnation)

    def renew(self, incarnation: str, lease: Microseconds) -> bool:
        return self._renewer.renew(incarnation, lease)

    async def workers(self) -> Sequence[WorkerRow]:
        return await self.connections.read(lambda db: workers.listed(db, self._scope))

    async def owned_count(self, incarnation: str) -> int:
        statement = self._scope.sql("claims", "owned")
        return len(await self.connections.read(lambda db: db.fetch(statement, self._scope.namespace, incarnation)))

    async def declare_dead(
        self, incarnation: str, seen_expires_at: Microseconds, executing: frozenset[str] = frozenset(), *, was_alone: bool = False
    ) -> bool:
        return await self.connections.transact(
            lambda db: workers.declare_dead(db, self._scope, incarnation, seen_expires_at, executing, was_alone)
        )

    async def retire(self, incarnation: str) -> None:
        statement = self._scope.sql("workers", "retire")
        await self.connections.write(lambda db: db.execute(statement, self._scope.namespace, incarnation))
        self._hints.tell()

    async def bury(self, clear_away: Callable[[str], None]) -> None:
        dead = await self.connections.read(lambda db: workers.idle_dead(db, self._scope))
        for _, lock in dead:
            clear_away(lock)
        if dead:
            await self.connections.write(lambda db: workers.bury(db, self._scope, [incarnation for incarnation, _ in dead]))

    # ── what wakes ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def survey(self, workflows: Sequence[str]) -> Survey:
        return await self.connections.read(lambda db: surveys.survey(db, self._scope, workflows, self._python))

    async def outlook(self, workflows: Sequence[str], owner: str, limit: int) -> Outlook:
        return await self.connections.read(lambda db: surveys.outlook(db, self._scope, workflows, self._python, owner, limit))

    async def next_wake(self, workflows: Sequence[str]) -> Instant | None:
        values = (self._scope.namespace, list(workflows), self._python, self._scope.now())
        moment: Instant | None = await self.connections.read(lambda db: db.fetchval(self._scope.sql("claims", "next_due"), *values))
        return moment

    async def undelivered(self, limit: int, *, owner: str | None = None) -> Sequence[str]:
        return await self.connections.read(lambda db: signals.addressed(db, self._scope, limit, owner))

    async def wake_missed(self) -> int:
        return await self.connections.write(lambda db: signals.wake_missed(db, self._scope))

    async def has_claimable(self, workflows: Sequence[str]) -> bool:
        values = (self._scope.namespace, list(workflows), self._python, self._scope.now())
        return bool(await self.connections.read(lambda db: db.fetchval(self._scope.sql("claims", "has_claimable"), *values)))

    async def forget_outdated(self, rows: int) -> bool:
        if not await self.connections.read(lambda db: outdated.is_there(db, self._scope)):
            return False  # without a transaction: every sweep asks
        return await self.connections.transact(lambda db: outdated.forget(db, self._scope, rows))

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        self.connections.refuse_misuse()
        return self._hints.watch(callback)

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def load(self, run_ids: Sequence[str], bytes_most: int | None = None) -> Mapping[str, Loaded]:
        return await self.connections.read(lambda db: runs.load(db, self._scope, run_ids, bytes_most))

    async def start(self, run: NewRun, claimant: Claimant | None = None) -> Started:
        self.connections.refuse_misuse()
        started = await self._starting.start(run, claimant)
        if started.claimed is None:
            self._hints.tell()
        return started

    async def send(self, signal: NewSignal, limit: int) -> None:
        await signals.send(self.connections, self._scope, signal, limit, self._keys_kept)
        self._hints.tell()

    async def inside(self, caller: Caller) -> Inside:
        row = await self.connections.read(lambda db: db.fetchrow(identity_query(self._scope)))
        return InsidePostgresql(caller, self._scope, self._address, tuple(row or ())[1:], self._keys_kept)

    async def run(self, run_id: str) -> RunRow | None:
        self.connections.refuse_misuse()
        return await self._row_reads.read(run_id)

    async def ended(self, run_ids: Sequence[str]) -> Sequence[str]:
        return await self.connections.read(lambda db: runs.ended(db, self._scope, run_ids))

    async def last_record(self, run_id: str) -> Record | None:
        return await self.connections.read(lambda db: runs.last_record(db, self._scope, run_id))

    async def history(self, run_id: str) -> Mapping[int, Sequence[Record]]:
        return await self.connections.read(lambda db: runs.history(db, self._scope, run_id))

    async def attempts(self, run_id: str) -> Sequence[AttemptRow]:
        return await self.connections.read(lambda db: runs.read_attempts(db, self._scope, run_id))

    async def runs(
        self, *, workflow: str | None = None, state: RunState | None = None, limit: int = 100, before: tuple[Instant, str] | None = None
    ) -> Sequence[Summary]:
        return await self.connections.read(lambda db: runs.listed(db, self._scope, workflow, state, limit, before))

    async def groups(self) -> Sequence[Group]:
        return await self.connections.read(lambda db: runs.groups(db, self._scope))

    async def newest(self) -> Instant | None:
        return await self.connections.read(lambda db: runs.newest(db, self._scope))

    async def counts(self) -> Mapping[RunState, int]:
        return await self.connections.read(lambda db: runs.counts(db, self._scope))

    # ── what people want of a run ────────────────────────────────────────────────────────────────────────────────────

    async def wanted(self, run_id: str) -> Sequence[str]:
        return await self.connections.read(lambda db: requests.wanted(db, self._scope, run_id))

    async def cancel(self, run_id: str, grace: Microseconds) -> None:
        await self.connections.transact(lambda db: requests.cancel(db, self._scope, run_id, grace))
        self._hints.tell()

    async def pause(self, run_id: str) -> None:
        await self.connections.transact(lambda db: requests.pause(db, self._scope, run_id))
        self._hints.tell()

    async def resume(self, run_id: str) -> None:
        await self.connections.transact(lambda db: requests.resume(db, self._scope, run_id))
        self._hints.tell()

    async def retry(self, run_id: str) -> None:
        await self.connections.transact(lambda db: retries.retry(db, self._scope, run_id))
        self._hints.tell()

    async def delete(self, run_id: str) -> None:
        await self.connections.transact(lambda db: removal.delete(db, self._scope, run_id))

    async def purge(self, keep: Mapping[RunState, Microseconds], runs_most: int, records_most: int) -> int:
        if not await self.connections.read(lambda db: removal.has_expired(db, self._scope, keep)):
            return 0  # without a transaction: every round asks
        return await self.connections.transact(lambda db: removal.purge(db, self._scope, keep, runs_most, records_most))

    # ── troubles ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def take_troubles(self, limit: int, hold: Microseconds) -> Sequence[TroubleRow]:
        return await self.connections.transact(lambda db: troubles.take(db, self._scope, limit, hold))

    async def settle_trouble(self, trouble: TroubleRow, again_after: Microseconds | None) -> None:
        await self.connections.transact(lambda db: troubles.settle(db, self._scope, trouble, again_after))

    async def set_aside_lost(self, known: Sequence[Known]) -> Sequence[LostRecords]:
        return await self.connections.transact(lambda db: lost_records.set_aside_lost(db, self._scope, known))

    async def note_stranded(self, due_for: Microseconds, most: int) -> None:
        await self.connections.transact(lambda db: stranded.note(db, self._scope, due_for, most))

    async def stranded(self, due_for: Microseconds, limit: int) -> Sequence[Stranded]:
        return await self.connections.read(lambda db: stranded.stranded(db, self._scope, due_for, limit))
