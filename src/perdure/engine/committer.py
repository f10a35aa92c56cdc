"""Group commit: gathers what all runs of a worker have to write and makes it durable in one transaction at a time."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from perdure.clock import SECOND
from perdure.engine.attempt import Attempt
from perdure.engine.gathered import change_of, change_of_enclosed
from perdure.engine.live import LiveRun
from perdure.engine.patience import pause, pauses
from perdure.engine.ports import Ports
from perdure.engine.tenure import Tenure
from perdure.errors import StoreError, StoreFailed
from perdure.settings import Settings
from perdure.store.calls import BeginsAnew, Call, CallSpoiled, StepTransaction
from perdure.store.endings import size_of_ending
from perdure.store.protocol import (
    BadItem,
    Change,
    Checkpoint,
    Claims,
    Committed,
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


class Enclosed(Call, Protocol):
    """A call that was performed in a transaction of its own, which a checkpoint is to end."""

    transaction: StepTransaction
    is_taken: bool
    """By a checkpoint, which ends its transaction whatever comes of it."""

    @property
    def attempt(self) -> Attempt: ...

    def tell(self, error: BaseException | None) -> None: ...


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
        self._enclosed: deque[tuple[LiveRun, Enclosed]] = deque()
        self._is_turn_of_enclosed = True
        self._incarnation: str | None = None
        self._number = 0
        self._room: Callable[[], int] = lambda: 0
        self._is_alone: Callable[[], bool] = lambda: False
        self._wants_claims = False
        self._others_wait = False
        self._may_claim_suspect = False
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
        self._enclosed.clear()
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

    def enclose(self, run: LiveRun, call: Enclosed) -> None:
        """A checkpoint of its own is to end the transaction of this call: by turns with all that others have to write."""
        self._enclosed.append((run, call))
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
        while self._incarnation is not None and (
            self._task is not None or self._is_scheduled or self._dirty or self._put_off or self._enclosed
        ):
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
        lease = round(self._settings.lease_seconds * SECOND)
        if self._is_turn_of_enclosed and (taken := self._take_enclosed()) is not None:
            self._is_turn_of_enclosed = False
            change, transaction = taken
            self._begin(Checkpoint(self._incarnation, self._number + 1, lease, [change], transaction=transaction))
            return
        self._is_turn_of_enclosed = True
        changes = self._take_changes()
        claims = self._take_claims()
        lists_owned, self._wants_owned = self._wants_owned, False
        if changes or claims or lists_owned:
            self._begin(Checkpoint(self._incarnation, self._number + 1, lease, changes, claims, lists_owned))
        elif self._enclosed:
            self._schedule()
        else:
            self._wake_idle()

    def _take_enclosed(self) -> tuple[Change, StepTransaction] | None:
        while self._enclosed:
            run, call = self._enclosed.popleft()
            if not run.is_mine or call.attempt.is_over:
                continue  # whoever performs it was cancelled, and undoes it
            if run.is_loading or run.is_leaving:
                call.tell(BeginsAnew("its run is being let go"))
                continue
            call.is_taken = True
            return change_of_enclosed(run, call), call.transaction
        return None

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
        """Whether, for all that is known, nobody waits to be claimed for whom there was no room, nor for whom all the room is needed."""
        return self.is_available and not self._others_wait and not self._may_claim_suspect

    def _take_claims(self) -> Claims | None:
        backlog = len(self._dirty)  # first things first: what waits to be written holds memory until it is
        room = min(self._settings.claim_page, self._room(), 2 * self._settings.batch_rows - backlog)
        if not self._wants_claims:
            return None
        if room <= 0:
            self._others_wait = True
            return None
        self._wants_claims = False
        self._may_claim_suspect = self._is_alone()
        return Claims(room, self._workflows, self._python, self._may_claim_suspect)

    def _take_changes(self) -> list[Change]:
        rows, size = self._settings.batch_rows, self._settings.batch_bytes
        now = self._ports.clock.now()
        changes = []
        while (line := self._put_off or self._dirty) and rows > 0 and size > 0:
            run = next(iter(line))
            del line[run]
            if not run.is_mine or run.is_loading or not run.has_news:
                continue
            change = change_of(run, rows, now)
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
                batch = replace(batch, transaction=None)
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
        if batch.claims is not None:
            self._others_wait = done.has_more
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
            self._may_claim_suspect = False
        if self._dirty or self._put_off or self._enclosed or self._wants_claims or self._wants_owned:
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
