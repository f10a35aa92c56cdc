"""Group commit: gathers what all runs of a worker have to write and makes it durable in one transaction at a time."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from perdure.clock import SECOND
from perdure.engine.live import LiveRun
from perdure.engine.patience import pause, pauses
from perdure.engine.ports import Ports
from perdure.engine.tenure import Tenure
from perdure.errors import StoreError, StoreFailed
from perdure.model.records import NewRecord, RecordKind
from perdure.settings import Settings
from perdure.store.calls import CallSpoiled
from perdure.store.endings import Park, PutAside, size_of_ending
from perdure.store.protocol import (
    BadItem,
    Change,
    Checkpoint,
    Claims,
    Committed,
    DueTimer,
    FenceLost,
    NotNext,
    Store,
    UnknownOutcome,
    Written,
    left_to_load,
)

log = logging.getLogger("perdure.engine")


@dataclass(frozen=True, slots=True)
class Outcomes:
    """To whom the committer reports. All are called from plain callbacks of the event loop."""

    committed: Callable[[Checkpoint, Committed], None]
    refused: Callable[[str, str], None]
    """One run's change cannot be written: run id, reason."""
    fenced: Callable[[str], None]
    """This incarnation has been declared dead."""
    failed: Callable[[BaseException], None]
    """The store cannot be used any more by this process."""


class Committer:
    """One checkpoint is under way at most; while it is, the next one gathers."""

    def __init__(
        self,
        store: Store,
        ports: Ports,
        settings: Settings,
        workflows: tuple[str, ...],
        python: str,
        tenure: Tenure,
        outcomes: Outcomes,
    ) -> None:
        self.checkpoints = 0
        self.is_available = True
        self._store = store
        self._ports = ports
        self._settings = settings
        self._workflows = workflows
        self._python = python
        self._tenure = tenure
        self._outcomes = outcomes
        self._loop = ports.loop()
        self._dirty: dict[LiveRun, None] = {}
        self._put_off: dict[LiveRun, None] = {}
        self._incarnation: str | None = None
        self._number = 0
        self._room: Callable[[], int] = lambda: 0
        self._is_alone: Callable[[], bool] = lambda: False
        self._wants_claims = False
        self._wants_owned = False
        self._is_scheduled = False
        self._is_in_doubt = False
        self._task: asyncio.Task[None] | None = None
        self._idle: list[asyncio.Future[None]] = []

    def begin(self, incarnation: str, room: Callable[[], int], is_alone: Callable[[], bool]) -> None:
        """Commit as this incarnation from now on. `room` says how many more runs the worker can take, `is_alone` that it has none."""
        self._incarnation, self._number, self._room, self._is_alone = incarnation, 0, room, is_alone
        self._is_in_doubt = False
        self.is_available = True  # it has just taken the registration

    def acknowledged(self) -> int:
        """The number of the last checkpoint that this incarnation was told to be committed."""
        return self._number

    def forget(self) -> None:
        """Drop everything that has gathered; nothing is committed until `begin`."""
        self._incarnation = None
        self._dirty.clear()
        self._put_off.clear()
        self._wants_claims = self._wants_owned = False
        self._wake_idle()

    def close(self) -> None:
        """Nothing goes on: what is under way is neither awaited nor tried again."""
        self.forget()
        if self._task is not None:
            self._task.cancel()

    def touch(self, run: LiveRun) -> None:
        """This run has something to write or to read."""
        self._dirty[run] = None
        self._schedule()

    def touch_first(self, run: LiveRun) -> None:
        """The same, and it was put off: its turn comes before that of any other, or runs with large inboxes could keep it waiting."""
        self._put_off[run] = None
        self._schedule()

    def want_claims(self) -> None:
        self._wants_claims = True
        self._schedule()

    def want_owned(self) -> None:
        """Let the next checkpoint say which runs belong to this worker, and renew the lease in any case."""
        self._wants_owned = True
        self._schedule()

    def wake(self) -> None:
        """There is room again."""
        if self._wants_claims:
            self._schedule()

    async def settle(self) -> None:
        """Return when nothing is left to write."""
        while self._incarnation is not None and (self._task is not None or self._is_scheduled or self._dirty or self._put_off):
            waiter = self._loop.create_future()
            self._idle.append(waiter)
            await waiter

    # ── one checkpoint ───────────────────────────────────────────────────────────────────────────────────────────────

    def flush_now(self) -> None:
        """Hand the next checkpoint to the store at once, so that it shares a transaction with what was just submitted."""
        if self._task is None:
            self._flush()

    def _schedule(self) -> None:
        if self._task is None and not self._is_scheduled and self._incarnation is not None:
            self._is_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_scheduled = False
        if self._task is not None or self._incarnation is None:
            return
        changes = self._take_changes()
        claims = self._take_claims()
        lists_owned, self._wants_owned = self._wants_owned, False
        if not (changes or claims or lists_owned):
            self._wake_idle()
            return
        lease = round(self._settings.lease_seconds * SECOND)
        batch = Checkpoint(self._incarnation, self._number + 1, lease, changes, claims, lists_owned)
        self._begin(batch)

    def _begin(self, batch: Checkpoint) -> None:
        self._task = self._loop.create_task(self._commit(batch))
        self._task.add_done_callback(partial(self._was_cancelled, batch))

    def _was_cancelled(self, batch: Checkpoint, task: "asyncio.Task[None]") -> None:
        """By somebody who cancels every task there is: what became of the checkpoint is asked, as after an unknown outcome."""
        if task is self._task and task.cancelled() and batch.incarnation == self._incarnation:
            self._is_in_doubt = True
            self._wants_claims = True
            self._begin(replace(batch, claims=None))

    @property
    def coming(self) -> int:
        """The number of the first checkpoint to come that is not under way."""
        return self._number + (1 if self._task is None else 2)

    @property
    def takes_more(self) -> bool:
        """Whether nothing waits for room, neither to be claimed nor to be written."""
        return self.is_available and not self._wants_claims and len(self._dirty) < 2 * self._settings.batch_rows

    def _take_claims(self) -> Claims | None:
        backlog = len(self._dirty)  # first things first: what waits to be written holds memory until it is
        room = min(self._settings.claim_page, self._room(), 2 * self._settings.batch_rows - backlog)
        if not self._wants_claims or room <= 0:
            return None
        self._wants_claims = False
        return Claims(room, self._workflows, self._python, self._is_alone())

    def _take_changes(self) -> list[Change]:
        rows, size = self._settings.batch_rows, self._settings.batch_bytes
        now = self._ports.clock.now()
        changes = []
        while (line := self._put_off or self._dirty) and rows > 0 and size > 0:
            run = next(iter(line))
            del line[run]
            if not run.is_mine or run.is_loading or not run.has_news:
                continue
            change = _change_of(run, rows, now)
            changes.append(change)
            rows -= max(1, len(change.records) + len(change.failures) + len(change.calls))
            size -= sum(record.size for record in change.records) + (0 if change.ending is None else size_of_ending(change.ending))
            if run.has_news:
                self._dirty[run] = None
        return changes

    async def _commit(self, batch: Checkpoint) -> None:
        for seconds in pauses(self._settings):
            try:
                self._ports.reached("checkpoint.before")
                done = await self._attempt(batch)
                self._ports.reached("checkpoint.after")
            except BadItem as bad:
                self._loop.call_soon(self._outcomes.refused, bad.run_id, bad.reason)
                batch = replace(batch, changes=[change for change in batch.changes if change.run_id != bad.run_id])
            except CallSpoiled as spoiled:
                spoiled.call.spoil(spoiled.error)
            except FenceLost:
                self._finish_soon(partial(self._outcomes.fenced, batch.incarnation))
                return
            except StoreFailed as error:
                self._finish_soon(partial(self._outcomes.failed, error))
                return
            except StoreError as error:
                if batch.incarnation != self._incarnation:  # the life that asked is over; the next one has its own troubles
                    self._finish_soon(partial(self._outcomes.fenced, batch.incarnation))
                    return
                self.is_available = False
                log.warning("the store does not take checkpoint %d, nothing of it is acknowledged; trying again: %s", batch.number, error)
                batch = replace(batch, claims=None)
                self._wants_claims = True
                await pause(seconds)
            except Exception as error:
                log.critical("checkpoint %d met with what nobody expected", batch.number, exc_info=error)
                self._finish_soon(partial(self._outcomes.failed, error))
                return
            else:
                self._finish_soon(partial(self._accept, batch, done))
                return

    def _finish_soon(self, report: Callable[[], None]) -> None:
        """Not here, inside a task: workflow code runs from plain callbacks only."""
        self._loop.call_soon(self._finish, report)

    async def _attempt(self, batch: Checkpoint) -> Committed:
        """One try. After an unknown outcome, or where it was not the next, the store is asked first what became of the one before."""
        if self._is_in_doubt:
            reached = await self._store.checkpoint_of(batch.incarnation)
            if reached == batch.number:
                done = await self._reconstruct(batch)
                self._is_in_doubt = False
                return done
            self._is_in_doubt = False
            if reached is None:
                raise FenceLost(f"worker {batch.incarnation} was declared dead")
            if reached != batch.number - 1:
                log.critical("%s: this worker drops what it has in memory and begins anew", _lost(reached, batch.number - 1))
                raise FenceLost(_lost(reached, batch.number - 1))
        asked_at = self._tenure.asks()
        try:
            done = await self._store.checkpoint(batch)
        except (UnknownOutcome, NotNext):  # a try that was given up may reach the database late, and a fail-over may lose what it had
            self._is_in_doubt = True
            raise
        if batch.incarnation == self._incarnation:
            self._tenure.is_renewed(asked_at)
        return done

    async def _reconstruct(self, batch: Checkpoint) -> Committed:
        """COMMIT succeeded but its reply was lost: read what it wrote. Claims it made are found by listing what is owned."""
        self._wants_owned = True
        changes = {change.run_id: change for change in batch.changes}
        written, left, most = [], list(changes), self._settings.replay_bytes
        while left:
            loaded = await self._store.load(left, most)
            left = list(left_to_load(left, loaded, most))
            for run_id, found in loaded.items():
                if found.damage is not None:
                    self._loop.call_soon(self._outcomes.refused, run_id, found.damage)
                else:
                    records = [record for record in found.records if record.position > changes[run_id].position]
                    written.append(Written(run_id, records, has_more=True, has_left=found.row.owner != batch.incarnation))
        return Committed(self._ports.clock.now(), written, ())

    def _accept(self, batch: Checkpoint, done: Committed) -> None:
        """Called when it is reported: between the store's answer and now the life that asked may have ended."""
        if batch.incarnation != self._incarnation:
            self._outcomes.fenced(batch.incarnation)
            return
        self.is_available = True
        self._number = batch.number
        self.checkpoints += 1
        for run_id, damage in done.set_aside.items():
            log.error("run %s is quarantined, nothing of it is lost: %s", run_id, damage)
        self._outcomes.committed(batch, done)

    def _finish(self, report: Callable[[], None]) -> None:
        try:
            report()
        except Exception as error:
            log.critical("what a checkpoint has brought could not be taken in", exc_info=error)
            self._outcomes.failed(error)
        finally:
            self._task = None
        if self._dirty or self._put_off or self._wants_claims or self._wants_owned:
            self._schedule()
        if not self._is_scheduled:
            self._wake_idle()

    def _wake_idle(self) -> None:
        waiters, self._idle = self._idle, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def _lost(reached: int, acknowledged: int) -> str:
    if reached < acknowledged:
        return f"the store has lost acknowledged checkpoints {reached + 1} to {acknowledged} of this worker (a fail-over, an older backup)"
    return (
        f"the store has checkpoint {reached} of this worker, which has written none after {acknowledged}: somebody else writes in its name"
    )


def _change_of(run: LiveRun, rows: int, now: int) -> Change:
    """Take what has gathered for a run, up to a number of records. What ends its stay goes with the last of them."""
    execution = run.execution
    records, run.records = run.records, []
    if len(records) > rows:
        records, run.records = records[:rows], records[rows:]
    if execution.marks.fresh and run.stands:
        records = [*(NewRecord(RecordKind.PATCHED, mark) for mark in execution.marks.take()), *records]
    takes_in = run.ending is None or isinstance(run.ending, Park | PutAside)
    reads_inbox = takes_in and (run.reads_inbox or run.ending is not None or bool(execution.due(now)))
    # All that come next, for the store may be busy: where the inbox is read later than now, they come before what has arrived after them.
    due = tuple(DueTimer(deadline, number) for deadline, number in execution.upcoming(rows)) if reads_inbox else ()
    change = Change(
        run.id,
        run.row.generation,
        execution.position,
        execution.at,
        records,
        due,
        reads_inbox,
    )
    if run.attempt_news is not None:
        _take_attempt_news(run, change)
    run.reads_inbox = False
    run.is_in_flight = True
    change.clears_strikes = run.strikes > 0 and (bool(records) or run.ending is not None)
    if run.stands and (change.failures or change.intents or run.ending is not None):
        change.issued = execution.issued
    if run.stands and execution.note != run.stored_note:
        change.note = run.stored_note = execution.note
    if not run.records and run.ending is not None:
        change.ending, run.ending = run.ending, None
        run.is_leaving = True
    return change


def _take_attempt_news(run: LiveRun, change: Change) -> None:
    news, run.attempt_news = run.about_attempts(), None
    change.settled, change.failures, change.intents = news.settled, news.failures, news.intents
    change.calls = [call for call in news.calls if not call.attempt.is_over]
    if run.records:  # what is known of a step's attempts goes in the same transaction as its outcome, not before
        later = {record.command for record in run.records}
        kept = [command for command in news.settled if command in later]
        if kept:
            run.about_attempts().settled = kept
        change.settled = [command for command in news.settled if command not in later]
