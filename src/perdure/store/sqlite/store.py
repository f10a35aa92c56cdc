"""The store protocol on SQLite: each method ships one function to the connection it belongs on."""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from perdure.clock import Clock, Instant, Microseconds
from perdure.errors import SchemaTooOld, StoreError, StoreNotFound
from perdure.model.findings import Finding, Group
from perdure.model.lost_records import Known, LostRecords
from perdure.model.records import Record
from perdure.model.runs import AttemptRow, NewRun, NewSignal, RunRow, WorkerRow
from perdure.model.states import RunState
from perdure.model.troubles import Stranded, TroubleRow
from perdure.settings import DEFAULTS, Settings
from perdure.store.astray import NAMED_MOST, astray
from perdure.store.callers.kinds import Caller
from perdure.store.calls import StepTransaction
from perdure.store.inside import Inside
from perdure.store.pages import pages_of
from perdure.store.protocol import Checkpoint, Claimant, Committed, Loaded, Outlook, SchemaStatus, Started, Summary, Survey
from perdure.store.sending import keys_kept
from perdure.store.sqlite import (
    checkpoints,
    claims,
    lost_records,
    outdated,
    removal,
    requests,
    retries,
    runs,
    schema,
    signals,
    starts,
    stranded,
    surveys,
    troubles,
    vitals,
    wishes,
    workers,
)
from perdure.store.sqlite.database import Database
from perdure.store.sqlite.inside import InsideSqlite
from perdure.store.sqlite.runner import Runner
from perdure.store.sqlite.threads import ThreadRunner

THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class SqliteStore:
    """A namespace of one SQLite file, or of a database in memory. `runner` is threads unless a simulation brings its own."""

    def __init__(
        self,
        path: str,
        *,
        namespace: str,
        clock: Clock,
        runner: Runner | None = None,
        python: str = THIS_PYTHON,
        settings: Settings = DEFAULTS,
    ) -> None:
        self._database = Database(path)
        self._namespace = namespace
        self._clock = clock
        self._given_runner = runner
        self._runner: Runner | None = None
        self._python = python
        self._pages = pages_of(settings)
        self._keys_kept = keys_kept(settings)

    @property
    def database(self) -> Database:
        return self._database

    async def open(self, *, create: bool, migrate: bool) -> None:
        if self._runner is not None:
            raise StoreError("the store is open already")
        runner = self._given_runner
        if runner is None:
            runner = threads = ThreadRunner(self._database)
            try:
                await threads.open(create and migrate)
            except asyncio.CancelledError:
                threads.abandon()
                raise
        try:
            await self._migrate(runner, create, migrate)
        except BaseException:
            await runner.close()
            raise
        self._runner = runner

    async def _migrate(self, runner: Runner, create: bool, migrate: bool) -> None:
        status = await runner.read(schema.read_status)
        if status.version == 0 and not (create and migrate):
            raise StoreNotFound(f"{self._database.path} is empty; start an Engine there, or run `perdure db migrate`, to create a store")
        if status.pending and not migrate:
            raise SchemaTooOld(
                f"{self._database.path} lacks {', '.join(status.pending)}; run `perdure db migrate`", status.version, status.pending
            )
        if status.pending:
            await runner.write(partial(schema.apply_pending, clock=self._clock))

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.close()

    @property
    def runner(self) -> Runner:
        if self._runner is None:
            raise StoreError("the store is not open")
        return self._runner

    async def schema(self) -> SchemaStatus:
        return await self.runner.read(schema.read_status)

    async def examine(self) -> Sequence[Finding]:
        lost = await self.runner.read(partial(signals.astray, namespace=self._namespace, limit=NAMED_MOST + 1))
        return [await self.runner.write(vitals.durability), *vitals.surroundings(self._database), astray(lost)]

    @property
    def locks_folder(self) -> str | None:
        return None if self._database.is_memory else f"{self._database.path}-locks"

    def authority(self, host: Clock) -> Clock:
        return host

    @property
    def shares_commits(self) -> bool:
        return True

    @property
    def performs_calls(self) -> bool:
        return True  # one connection writes: a step that had it for longer would hold up everybody

    async def begin(self, connection: type | None) -> StepTransaction:  # noqa: ARG002 - refused whatever it is
        raise StoreError("on SQLite a transactional step is performed by the checkpoint that records it")

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def register(self, worker: WorkerRow, lease: Microseconds) -> None:
        await self.runner.write(partial(workers.register, namespace=self._namespace, clock=self._clock, worker=worker, lease=lease))

    async def checkpoint(self, batch: Checkpoint) -> Committed:
        function = partial(
            checkpoints.checkpoint,
            namespace=self._namespace,
            clock=self._clock,
            batch=batch,
            pages=self._pages,
        )
        return await self.runner.write(function)

    async def checkpoint_of(self, incarnation: str) -> int | None:
        return await self.runner.write(partial(workers.checkpoint_of, namespace=self._namespace, incarnation=incarnation))

    def renew(self, incarnation: str, lease: Microseconds) -> bool:
        function = partial(workers.renew, namespace=self._namespace, clock=self._clock, incarnation=incarnation, lease=lease)
        return self.runner.write_now(function)

    async def workers(self) -> Sequence[WorkerRow]:
        return await self.runner.read(partial(workers.listed, namespace=self._namespace))

    async def owned_count(self, incarnation: str) -> int:
        return await self.runner.read(partial(claims.owned_count, namespace=self._namespace, incarnation=incarnation))

    async def declare_dead(
        self, incarnation: str, seen_expires_at: Microseconds, executing: frozenset[str] = frozenset(), *, was_alone: bool = False
    ) -> bool:
        function = partial(
            workers.declare_dead,
            namespace=self._namespace,
            clock=self._clock,
            incarnation=incarnation,
            seen_expires_at=seen_expires_at,
            executing=executing,
            was_alone=was_alone,
        )
        return await self.runner.write(function)

    async def retire(self, incarnation: str) -> None:
        await self.runner.write(partial(workers.retire, namespace=self._namespace, incarnation=incarnation))

    async def bury(self, clear_away: Callable[[str], None]) -> None:
        dead = await self.runner.read(partial(workers.idle_dead, namespace=self._namespace))
        for _, lock in dead:
            clear_away(lock)
        if dead:  # else without a write: every sweep asks
            incarnations = [incarnation for incarnation, _ in dead]
            await self.runner.write(partial(workers.bury, namespace=self._namespace, incarnations=incarnations))

    # ── what wakes ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def survey(self, workflows: Sequence[str]) -> Survey:
        return await self.runner.read(
            partial(surveys.survey, namespace=self._namespace, clock=self._clock, workflows=workflows, python=self._python)
        )

    async def outlook(self, workflows: Sequence[str], owner: str, limit: int) -> Outlook:
        function = partial(
            surveys.outlook,
            namespace=self._namespace,
            clock=self._clock,
            workflows=workflows,
            python=self._python,
            owner=owner,
            limit=limit,
        )
        return await self.runner.read(function)

    async def next_wake(self, workflows: Sequence[str]) -> Instant | None:
        after = self._clock.now()
        function = partial(claims.next_due, namespace=self._namespace, workflows=workflows, python=self._python, after=after)
        return await self.runner.read(function)

    async def undelivered(self, limit: int, *, owner: str | None = None) -> Sequence[str]:
        return await self.runner.read(partial(signals.addressed, namespace=self._namespace, limit=limit, owner=owner))

    async def wake_missed(self) -> int:
        if not await self.runner.read(partial(signals.has_missed, namespace=self._namespace, clock=self._clock)):
            return 0  # without a write: every sweep asks
        return await self.runner.write(partial(signals.wake_missed, namespace=self._namespace, clock=self._clock))

    async def has_claimable(self, workflows: Sequence[str]) -> bool:
        function = partial(claims.has_claimable, namespace=self._namespace, now=self._clock.now(), workflows=workflows, python=self._python)
        return await self.runner.read(function)

    async def forget_outdated(self, rows: int) -> bool:
        if not await self.runner.read(partial(outdated.is_there, namespace=self._namespace)):
            return False  # without a write: every sweep asks
        return await self.runner.write(partial(outdated.forget, namespace=self._namespace, rows=rows))

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        return self.runner.watch(callback)

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def load(self, run_ids: Sequence[str], bytes_most: int | None = None) -> Mapping[str, Loaded]:
        return await self.runner.read(partial(runs.load, namespace=self._namespace, run_ids=run_ids, bytes_most=bytes_most))

    async def start(self, run: NewRun, claimant: Claimant | None = None) -> Started:
        return await self.runner.write(partial(starts.start, namespace=self._namespace, clock=self._clock, run=run, claimant=claimant))

    async def send(self, signal: NewSignal, limit: int) -> None:
        function = partial(
            signals.send, namespace=self._namespace, clock=self._clock, signal=signal, limit=limit, keys_kept=self._keys_kept
        )
        await self.runner.write(function)

    async def inside(self, caller: Caller) -> Inside:
        return InsideSqlite(caller, self._database, self._namespace, self._clock, self._keys_kept)

    async def run(self, run_id: str) -> RunRow | None:
        return await self.runner.read(partial(runs.read_run, namespace=self._namespace, run_id=run_id))

    async def ended(self, run_ids: Sequence[str]) -> Sequence[str]:
        return await self.runner.read(partial(runs.ended, namespace=self._namespace, run_ids=run_ids))

    async def last_record(self, run_id: str) -> Record | None:
        return await self.runner.read(partial(runs.last_record, namespace=self._namespace, run_id=run_id))

    async def history(self, run_id: str) -> Mapping[int, Sequence[Record]]:
        return await self.runner.read(partial(runs.history, namespace=self._namespace, run_id=run_id))

    async def attempts(self, run_id: str) -> Sequence[AttemptRow]:
        return await self.runner.read(partial(runs.read_attempts, namespace=self._namespace, run_id=run_id))

    async def runs(
        self, *, workflow: str | None = None, state: RunState | None = None, limit: int = 100, before: tuple[Instant, str] | None = None
    ) -> Sequence[Summary]:
        function = partial(runs.listed, namespace=self._namespace, workflow=workflow, state=state, limit=limit, before=before)
        return await self.runner.read(function)

    async def groups(self) -> Sequence[Group]:
        return await self.runner.read(partial(runs.groups, namespace=self._namespace))

    async def newest(self) -> Instant | None:
        return await self.runner.read(partial(runs.newest, namespace=self._namespace))

    async def counts(self) -> Mapping[RunState, int]:
        return await self.runner.read(partial(runs.counts, namespace=self._namespace))

    # ── what people want of a run ────────────────────────────────────────────────────────────────────────────────────

    async def wanted(self, run_id: str) -> Sequence[str]:
        return sorted(await self.runner.read(partial(wishes.wishes_of, namespace=self._namespace, run_id=run_id)))

    async def cancel(self, run_id: str, grace: Microseconds) -> None:
        await self.runner.write(partial(requests.cancel, namespace=self._namespace, clock=self._clock, run_id=run_id, grace=grace))

    async def pause(self, run_id: str) -> None:
        await self.runner.write(partial(requests.pause, namespace=self._namespace, clock=self._clock, run_id=run_id))

    async def resume(self, run_id: str) -> None:
        await self.runner.write(partial(requests.resume, namespace=self._namespace, clock=self._clock, run_id=run_id))

    async def retry(self, run_id: str) -> None:
        await self.runner.write(partial(retries.retry, namespace=self._namespace, clock=self._clock, run_id=run_id))

    async def delete(self, run_id: str) -> None:
        await self.runner.write(partial(removal.delete, namespace=self._namespace, run_id=run_id))

    async def purge(self, keep: Mapping[RunState, Microseconds], runs_most: int, records_most: int) -> int:
        if not await self.runner.read(partial(removal.has_expired, namespace=self._namespace, clock=self._clock, keep=keep)):
            return 0  # without a write: every round asks
        function = partial(
            removal.purge, namespace=self._namespace, clock=self._clock, keep=keep, runs_most=runs_most, records_most=records_most
        )
        return await self.runner.write(function)

    # ── troubles ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def take_troubles(self, limit: int, hold: Microseconds) -> Sequence[TroubleRow]:
        if not await self.runner.read(partial(troubles.has_due, namespace=self._namespace, now=self._clock.now())):
            return ()  # without a write: every engine asks again and again
        return await self.runner.write(partial(troubles.take, namespace=self._namespace, clock=self._clock, limit=limit, hold=hold))

    async def settle_trouble(self, trouble: TroubleRow, again_after: Microseconds | None) -> None:
        function = partial(troubles.settle, namespace=self._namespace, clock=self._clock, trouble=trouble, again_after=again_after)
        await self.runner.write(function)

    async def set_aside_lost(self, known: Sequence[Known]) -> Sequence[LostRecords]:
        function = partial(lost_records.set_aside_lost, namespace=self._namespace, now=self._clock.now(), known=known)
        return await self.runner.write(function)

    async def note_stranded(self, due_for: Microseconds, most: int) -> None:
        function = partial(stranded.look, namespace=self._namespace, now=self._clock.now(), due_for=due_for, most=most)
        gone, fresh = await self.runner.read(function)
        if gone or fresh:
            await self.runner.write(partial(stranded.note, gone=gone, fresh=fresh))

    async def stranded(self, due_for: Microseconds, limit: int) -> Sequence[Stranded]:
        function = partial(stranded.stranded, namespace=self._namespace, now=self._clock.now(), due_for=due_for, limit=limit)
        return await self.runner.read(function)
