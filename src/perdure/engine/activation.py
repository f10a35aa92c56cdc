"""From committed records to the next thing to do: replay, apply, then look at what the code asks for now."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from perdure.clock import SECOND
from perdure.codec.failures import encode_failure
from perdure.engine.attempts import Attempts
from perdure.engine.committer import Committer
from perdure.engine.crumbs import Crumbs
from perdure.engine.endings import ending_of
from perdure.engine.live import LiveRun, Retrying
from perdure.engine.ports import Ports
from perdure.engine.waits import waiting_for
from perdure.errors import CorruptedHistory, NonDeterminism
from perdure.model.records import NewRecord, Record, RecordKind
from perdure.runtime.replaying import DEADLOCK, check_stand, waits_for_nothing
from perdure.settings import Settings
from perdure.store.endings import Ending, Park, PutAside, Quarantine, Release
from perdure.store.protocol import Loaded

log = logging.getLogger("perdure.engine")
_OUT_OF_TIME = NewRecord(RecordKind.CANCEL, input=b'{"grace_seconds": 0}')


@dataclass(slots=True)
class Activation:
    """The decisions about one worker's runs. Everything here is called from plain callbacks of the event loop."""

    committer: Committer
    attempts: Attempts
    ports: Ports
    settings: Settings
    loop: asyncio.AbstractEventLoop
    python: str
    is_crowded: Callable[[], bool]
    on_idle: Callable[[LiveRun], None]
    crumbs: Crumbs

    # ── replay ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def replay(self, run: LiveRun, loaded: Loaded, on_done: Callable[[], None], begin: int = 0) -> None:
        """Apply a whole history, a slice at a time; then go on live. `on_done` is called when it no longer needs the history."""
        if not run.is_mine:
            on_done()
            return
        if loaded.damage is not None:
            self._quarantine(run, CorruptedHistory(f"{loaded.damage}; nothing was changed"))
            on_done()
            return
        until = self.loop.time() + self.settings.replay_slice_seconds
        self.crumbs.drop(run.crumb)
        if not begin:
            run.execution.marks.recall(loaded.records, loaded.row.reached)
        try:
            for index in range(begin, len(loaded.records)):
                run.execution.apply(loaded.records[index])
                if index % 16 == 15 and self.loop.time() > until:
                    self.loop.call_soon(self.replay, run, loaded, on_done, index + 1)
                    return
            self._stand(run, loaded)
        except (NonDeterminism, CorruptedHistory) as error:
            self._diverged(run, error)
        except Exception as error:
            self.spoiled(run, error)
        finally:
            self.crumbs.pick_up()
        on_done()

    def _stand(self, run: LiveRun, loaded: Loaded) -> None:
        """The run stands where its history has brought it: check what was issued, then begin what is still wanted."""
        execution = run.execution
        check_stand(execution, loaded.row.issued, loaded.attempts)
        for row in loaded.attempts:
            run.retrying[row.command] = Retrying(row.failures, row.began_at, row.next_at, error=row.error or b"")
        # Whoever wrote an intent, and be it this incarnation before a quarantine, had its step begun or about to begin.
        intents = {row.command: row for row in loaded.attempts if row.intent is not None}
        execution.went_live()
        run.is_loading, run.stands = False, True
        run.stored_note = loaded.row.note
        execution.take_fresh()
        execution.take_abandoned()
        for command in execution.open.values():
            if command.is_cancelled:
                self.attempts.abandon(run, command.number)
        for command in execution.wanted():
            intent = intents.get(command.number)
            if intent is not None:
                self.attempts.refuse_repeat(run, command, intent.failures + 1)
            else:
                self.attempts.begin(run, command)
        run.reads_inbox = True
        self.look(run)
        self.committer.touch(run)
        self.ports.reached("run.replayed")

    # ── one batch of records ─────────────────────────────────────────────────────────────────────────────────────────

    def first(self, run: LiveRun, started: Record) -> None:
        """A run's first record: nothing to replay."""
        run.execution.went_live()
        run.is_loading, run.stands = False, True
        try:
            self.apply(run, [started])
        except Exception as error:
            self.spoiled(run, error)

    def apply(self, run: LiveRun, records: Sequence[Record]) -> None:
        """Let the code see what has just been committed, one record at a time."""
        self.crumbs.drop(run.crumb)
        try:
            for record in records:
                run.execution.apply(record)
        except (NonDeterminism, CorruptedHistory) as error:
            self._diverged(run, error)
            return
        finally:
            self.crumbs.pick_up()
        self.look(run)

    def look(self, run: LiveRun) -> None:
        """The code has run until it waits: start what it asks for, write what it says, or see that it is idle."""
        execution = run.execution
        run.idle_until = None
        for number in execution.take_abandoned():
            self.attempts.abandon(run, number)
        if execution.outcome is not None:
            self._finish(run)
            return
        for command in execution.take_fresh():
            self.attempts.begin(run, command)
        self._check_length(run)
        if run.has_news:
            self.committer.touch(run)
        self._watch_clock(run)
        if not run.is_busy:
            self._rest(run)

    def _check_length(self, run: LiveRun) -> None:
        most, position = self.settings.limits.history_records, run.execution.position
        if position >= self.settings.limits.history_records_warned and not run.is_warned:
            run.is_warned = True
            log.warning("the history of run %s has %d records; at %d it is quarantined", run.id, position, most)
        if position >= most and run.ending is None:
            self._quarantine(
                run, CorruptedHistory(f"its history has reached the limit of {most:,} records; what goes on for long can continue_as_new")
            )

    def _finish(self, run: LiveRun) -> None:
        if run.ending is not None:
            return
        self.attempts.give_up(run)
        run.records.clear()
        run.attempt_news = None
        run.ending = ending_of(run, self._failure, self.python)
        self.committer.touch(run)

    # ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _watch_clock(self, run: LiveRun) -> None:
        """Be called back when the run's next timer is due."""
        deadline = None if run.is_pausing else run.execution.next_deadline()
        if deadline == run.timer_at and run.timer is not None:
            return
        if run.timer is not None:
            run.timer.cancel()
        run.timer, run.timer_at = None, deadline
        if deadline is not None:
            run.timer = self.loop.call_later(max(0, deadline - self.ports.clock.now()) / SECOND, self._timer_due, run)

    def look_at_clock_again(self, run: LiveRun) -> None:
        """The clock has stepped forward: what is waited for comes sooner by the loop's time."""
        if run.timer is not None:
            run.timer.cancel()
            run.timer = run.timer_at = None
            self._watch_clock(run)
        self.attempts.look_at_clock_again(run)

    def _timer_due(self, run: LiveRun) -> None:
        try:
            self._look_at_clock(run)
        except Exception as error:
            self.spoiled(run, error)

    def _look_at_clock(self, run: LiveRun) -> None:
        run.timer = run.timer_at = None
        if not run.is_mine:
            return
        now, end = self.ports.clock.now(), run.execution.clean_up_ends_at
        if end is not None and end <= now:
            self._cut_short(run)
        elif run.execution.due(now):
            run.reads_inbox = True
            self.committer.touch(run)
        else:
            self._watch_clock(run)  # the loop's clock and the authority's differ by a hair, or the latter was set back
            if not run.is_busy:
                self._rest(run)

    def _cut_short(self, run: LiveRun) -> None:
        """Its time to clean up is over. What sagas have to undo is undone first: the code is thrown out of them."""
        if not run.execution.sagas.noted or run.execution.is_out_of_time:
            self._finish(run)
        elif not run.is_in_flight and not run.records:  # else it is met again when these are written
            run.records.append(_OUT_OF_TIME)
            self.committer.touch(run)

    def _rest(self, run: LiveRun) -> None:
        """It only waits. Park it at once when nothing can come soon, else keep it a little."""
        if run.is_pausing:
            self._put_aside(run)
            return
        if run.has_work:
            return  # the worker is being stopped and begins no step any more; the run is handed over
        moment, now = run.next_moment(), self.ports.clock.now()
        if moment is not None and moment - now < self.settings.park_wait_seconds * SECOND:
            return
        if waits_for_nothing(run.execution):
            self._quarantine(run, NonDeterminism(DEADLOCK))
        elif self.is_crowded() or not run.execution.waited_topics():
            self.park(run)
        else:
            self.on_idle(run)

    def park_idle(self, run: LiveRun) -> None:
        try:
            self.park(run)
        except Exception as error:
            self.spoiled(run, error)

    def park(self, run: LiveRun) -> None:
        """Write it as waiting and drop it from memory, unless something has come for it meanwhile."""
        if run.is_mine and not run.is_busy and not run.has_work and run.execution.outcome is None:
            moment = run.next_moment()
            run.ending = Park(moment, waiting_for(run))
            self.committer.touch(run)

    def pauses(self, run: LiveRun, is_pausing: bool) -> None:
        """Whether it is to be paused: then nothing of it begins, and it leaves when the steps under way have ended."""
        if is_pausing and run.held is None:
            self.attempts.hold(run)
        elif not is_pausing and run.held is not None:
            run.released, run.held = run.held, None

    def _put_aside(self, run: LiveRun) -> None:
        if run.is_mine and run.execution.outcome is None:
            run.ending = PutAside(waiting_for(run))
            self.committer.touch(run)

    def goes_on(self, run: LiveRun, ending: Ending) -> bool:
        """Something had come for it, so it has not left: tries whose moment passed meanwhile begin now. An end is written again.

        Of one that was to be quarantined, and is cancelled instead, nothing goes on: what had come is only recorded, then it ends.
        """
        run.is_leaving = False
        if isinstance(ending, Quarantine):
            run.ending = ending
            self.committer.touch_first(run)
            return False
        if run.execution.outcome is not None:
            return True
        for command in run.execution.wanted():
            retrying = run.retrying.get(command.number)
            if retrying is not None and retrying.next_at is not None:
                self.attempts.begin(run, command)
        return True

    def release(self, run: LiveRun) -> None:
        """Hand it back as it is, for any worker to claim."""
        if run.ending is None:
            run.ending = Release()
        self.committer.touch(run)

    # ── what stops a run ─────────────────────────────────────────────────────────────────────────────────────────────

    def _diverged(self, run: LiveRun, error: NonDeterminism | CorruptedHistory) -> None:
        """Another Python minor may be the reason: then a worker of the recorded one takes it, else it is quarantined."""
        run.stands = False
        written_on = run.row.python
        if isinstance(error, NonDeterminism) and written_on is not None and written_on != self.python and not run.row.needs_python:
            log.warning(
                "run %s was recorded on Python %s and diverges on %s; it waits for a worker on %s: %s",
                run.id,
                written_on,
                self.python,
                written_on,
                error,
            )
            self._stop(run, Release(needs_python=True))
        else:
            self._quarantine(run, error)

    def _quarantine(self, run: LiveRun, error: Exception) -> None:
        log.error("run %s is quarantined, nothing of it is lost: %s", run.id, error)
        self._stop(run, Quarantine(self._failure(error)))

    def is_set_aside(self, run: LiveRun, reason: str) -> bool:
        """The store does not take what it has to write: it is quarantined, unless the store has refused that as well."""
        run.is_in_flight = run.is_leaving = False
        if run.refusals:
            return False
        run.refusals += 1
        run.stands = False
        self.quarantine(run, CorruptedHistory(f"the store refuses what it has to record: {reason}"))
        return True

    def inbox_is_damaged(self, run: LiveRun, damage: str) -> None:
        """What was recorded in the same checkpoint stays and is replayed when it is resumed; its code goes no further before."""
        run.is_leaving = False
        self.quarantine(run, CorruptedHistory(damage))

    def spoiled(self, run: LiveRun, error: Exception) -> None:
        """Something that nobody expected was raised while this run was looked after: it concerns no other run."""
        log.error("looking after run %s met with what nobody expected", run.id, exc_info=error)
        self.quarantine(run, error)

    def quarantine(self, run: LiveRun, error: Exception) -> None:
        if run.is_mine:
            self._quarantine(run, error)

    def _stop(self, run: LiveRun, ending: Release | Quarantine) -> None:
        self.attempts.give_up(run)
        run.is_loading = False
        run.records.clear()
        run.attempt_news = None
        run.reads_inbox = False
        run.ending = ending
        self.committer.touch(run)

    def _failure(self, error: BaseException) -> bytes:
        limits = self.settings.limits
        return encode_failure(
            error, message_characters=limits.error_message_characters, traceback_characters=limits.error_traceback_characters
        )
