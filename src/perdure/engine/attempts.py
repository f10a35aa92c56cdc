"""Runs steps: slots, threads, time limits, intents, and what follows a failure."""

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, cast

from perdure.authoring.current import attempt_info
from perdure.clock import SECOND, Instant
from perdure.engine.attempt import Attempt
from perdure.engine.committer import Committer
from perdure.engine.crumbs import Crumbs, watched
from perdure.engine.live import LiveRun, Retrying
from perdure.engine.own_transactions import OwnCall, OwnTransactions, without_undone
from perdure.engine.ports import Ports
from perdure.engine.results import Results, outcome_unknown
from perdure.engine.tenure import Tenure
from perdure.engine.transactional import TransactionalCall
from perdure.errors import PerdureError
from perdure.model.records import RecordKind
from perdure.runtime.commands import StepCommand
from perdure.settings import Settings
from perdure.store.calls import Call
from perdure.store.protocol import Intent, Store, Written

log = logging.getLogger("perdure.step")


class NotBegun(BaseException):
    """The thread found that the step must not begin."""


class Attempts:
    """Begins the attempts of every run of a worker and hands what comes of them to its committer."""

    def __init__(
        self, namespace: str, store: Store, ports: Ports, settings: Settings, crumbs: Crumbs, tenure: Tenure, committer: Committer
    ) -> None:
        self.under_way: set[Attempt] = set()
        self._crumbs = crumbs
        self._namespace = namespace
        self._ports = ports
        self._settings = settings
        self._tenure = tenure
        self._committer = committer
        self._results = Results(ports, settings, committer)
        self._are_in_checkpoints = store.performs_calls
        self._own_transactions = OwnTransactions(store, ports, settings, crumbs, committer, self._limit)
        self._put_off: list[tuple[LiveRun, StepCommand]] = []
        self._loop = ports.loop()
        self._context = contextvars.copy_context()
        self._threads = ports.threads(settings.threads)
        self._writers_slot = crumbs.take_slot()
        self._room = {True: settings.attempts_at_once, False: settings.threads}  # by whether the step is async
        self._queues: dict[bool, deque[tuple[LiveRun, Attempt]]] = {True: deque(), False: deque()}
        self._is_draining = False
        self.on_spoiled: Callable[[LiveRun, Exception], None]
        self._on_quiet: Callable[[], None] = lambda: None

    # ── from a command to a running body ─────────────────────────────────────────────────────────────────────────────

    def begin(self, run: LiveRun, command: StepCommand) -> None:
        """Start the next attempt of a step now, when its back-off ends, or after its intent is on disk."""
        if self._is_draining or not run.is_mine or command.is_cancelled or run.ending is not None or run.is_leaving:
            return
        if run.held is not None:
            run.held.append(command)
            return
        retrying = run.retrying.get(command.number)
        if retrying is not None and retrying.next_at is not None and retrying.next_at > self._ports.clock.now():
            self._wait(run, command, retrying)
        elif command.options.at_most_once:
            if retrying is not None:
                retrying.begins()  # once: its timer may fire while the intent is being written
            run.about_attempts().intents.append(Intent(command.number, command.name, command.digest))
            self._committer.touch(run)
        else:
            self.queue(run, command)

    def queue(self, run: LiveRun, command: StepCommand) -> None:
        """Start an attempt as soon as there is a slot."""
        retrying = run.retrying.get(command.number)
        if self._is_draining or run.held is not None:
            self._results.take_back(run, command)
            if run.held is not None:
                run.held.append(command)
            return
        if not run.is_mine or command.is_cancelled:
            return
        if retrying is not None:
            retrying.begins()
        command.step = self._ports.stand_in(command.step)
        attempt = Attempt(command, 1 if retrying is None else retrying.failures + 1)
        run.attempts[command.number] = attempt
        if command.step.is_transactional and self._are_in_checkpoints:
            self._call(run, attempt)
            return
        kind = command.step.is_async
        if self._room[kind]:
            self._start(run, attempt)
        else:
            self._queues[kind].append((run, attempt))

    def _wait(self, run: LiveRun, command: StepCommand, retrying: Retrying) -> None:
        assert retrying.next_at is not None
        if retrying.timer is not None:
            retrying.timer.cancel()
        delay = max(0, retrying.next_at - self._ports.clock.now()) / SECOND
        retrying.timer = self._loop.call_later(delay, self._is_due, run, command, retrying, retrying.next_at)

    def look_at_clock_again(self, run: LiveRun) -> None:
        for number, retrying in list(run.retrying.items()):
            if retrying.timer is not None and number in run.execution.open:
                self._wait(run, run.execution.open[number], retrying)

    def _is_due(self, run: LiveRun, command: StepCommand, retrying: Retrying, moment: Instant) -> None:
        if run.retrying.get(command.number) is not retrying or retrying.next_at != moment:
            return  # it has begun meanwhile, or is over
        try:
            self.begin(run, command)
        except Exception as error:
            self.on_spoiled(run, error)
        if run.is_mine and moment > self._ports.clock.now():  # the clock was set back: the wait may be too long for memory now
            run.reads_inbox = True
            self._committer.touch(run)

    def _start(self, run: LiveRun, attempt: Attempt) -> None:
        command = attempt.command
        self._room[command.step.is_async] -= 1
        self.under_way.add(attempt)
        self._ports.reached("attempt.begin")
        if command.number not in run.retrying:
            run.retrying[command.number] = Retrying(0, self._ports.clock.now(), is_on_disk=False)
        context = self._context.copy()
        context.run(attempt_info.set, partial(run.info, self._namespace, attempt))
        if command.step.is_transactional:
            self._start_task(run, attempt, partial(self._own_transactions.perform, run, attempt), context)
            return
        self._limit(run, attempt)
        try:
            args, kwargs = command.take_arguments()
        except PerdureError as error:
            self._ended(run, attempt, None, error, is_final=True)
            return
        if command.step.is_async:
            self._start_task(run, attempt, partial(command.step.function, *args, **kwargs), context)
        else:
            slot = self._crumbs.take_slot()
            self._crumbs.drop(run.crumb, slot)
            body = partial(context.run, command.step.function, *args, **kwargs)
            try:
                future = self._threads.submit(partial(self._in_thread, attempt, body))
            except RuntimeError as error:  # the system has no thread left
                log.warning("step %s of run %s begins later: %s", command.name, run.id, error)
                self._crumbs.give_back(slot)
                self._put_off_attempt(run, attempt)
            else:
                future.add_done_callback(partial(self._thread_ended, run, attempt, slot))

    def _limit(self, run: LiveRun, attempt: Attempt) -> None:
        if (timeout := attempt.command.options.timeout) is not None:
            attempt.timer = self._loop.call_later(timeout / SECOND, self._timed_out, run, attempt)

    def _start_task(self, run: LiveRun, attempt: Attempt, body: Callable[[], Any], context: contextvars.Context) -> None:
        attempt.task = self._loop.create_task(self._drive(run, attempt, body), context=context)
        attempt.task.add_done_callback(partial(self._task_ended, run, attempt))

    # ── steps inside the transaction that records them ───────────────────────────────────────────────────────────────

    def _call(self, run: LiveRun, attempt: Attempt) -> None:
        retrying = run.retrying.setdefault(attempt.command.number, Retrying(0, self._ports.clock.now(), is_on_disk=False))
        context = self._context.copy()
        context.run(attempt_info.set, partial(run.info, self._namespace, attempt))
        call = TransactionalCall(run.id, attempt, retrying.is_on_disk, context, self._settings)
        call.body = self._crumbs.around(call.body, run.crumb, self._writers_slot)
        run.about_attempts().calls.append(call)
        self._committer.touch(run)

    def called(self, run: LiveRun, calls: Sequence[Call], written: Written) -> None:
        """Before their records are applied. One that neither is recorded nor failed had no turn: it begins again."""
        raised = dict(written.raised)
        recorded = {record.command for record in written.records if record.kind in (RecordKind.STEP, RecordKind.COMPENSATED)}
        for call in without_undone(calls, recorded, raised):
            attempt = run.attempts.pop(call.command, None)
            if attempt is None:
                continue  # nobody waits for it any more
            if call.command in recorded:
                attempt.is_over = True
                run.retrying.pop(call.command, None)
                cast(OwnCall | TransactionalCall, call).tell(None)
            elif call.command in raised:
                self._report(run, attempt, None, raised[call.command], is_final=cast(TransactionalCall, call).is_final)
            else:
                self.begin(run, attempt.command)

    async def _drive(self, run: LiveRun, attempt: Attempt, body: Callable[[], Any]) -> None:
        attempt.has_begun = True
        if not self._may_begin(attempt):
            self._not_begun(run, attempt)
            return
        try:
            value = await watched(body(), run.crumb, self._crumbs)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and attempt.is_cancelled_from_outside:
                self._interrupted(run, attempt)
            else:
                self._ended(run, attempt, None, error, is_final=attempt.is_final)
            if attempt.is_over and isinstance(error, asyncio.CancelledError):
                raise
        else:
            self._returned(run, attempt, value)

    def _task_ended(self, run: LiveRun, attempt: Attempt, task: "asyncio.Task[None]") -> None:
        if not attempt.has_begun and task.cancelled():  # before its first line
            self._put_off_attempt(run, attempt)

    def _interrupted(self, run: LiveRun, attempt: Attempt) -> None:
        """Somebody cancels every task there is, as an application does that ends: that is not the step's failure."""
        if attempt.command.options.at_most_once and not attempt.is_over and run.is_mine:
            self._ended(run, attempt, None, outcome_unknown(run, attempt.command, "its task was cancelled from outside"), is_final=True)
            return
        self._committer.want_owned()
        self._put_off_attempt(run, attempt)

    def _in_thread(self, attempt: Attempt, body: Callable[[], object]) -> object:
        if not self._may_begin(attempt):
            raise NotBegun
        return body()

    def _may_begin(self, attempt: Attempt) -> bool:
        return self._tenure.is_held and not attempt.is_over

    def _not_begun(self, run: LiveRun, attempt: Attempt) -> None:
        """Nobody wants it any more, or this worker may have been declared dead: then it begins after the next checkpoint."""
        if not attempt.is_over and run.is_mine:
            self._committer.want_owned()
        self._put_off_attempt(run, attempt)

    def _put_off_attempt(self, run: LiveRun, attempt: Attempt) -> None:
        """It begins, or begins again, after the next checkpoint."""
        if not attempt.is_over and run.is_mine:
            run.attempts.pop(attempt.command.number, None)
            attempt.abandon()
            self._put_off.append((run, attempt.command))
        self._ended(run, attempt, None, None)

    def begin_put_off(self) -> None:
        """The fence was passed: the runs are this worker's."""
        put_off, self._put_off = self._put_off, []
        for run, command in put_off:
            if run.ending is None and not run.is_leaving:
                self.queue(run, command)
                if run.held is not None:  # nothing else may be under way for it: then it is put aside now, or goes on
                    run.reads_inbox = True
                    self._committer.touch(run)

    def _thread_ended(self, run: LiveRun, attempt: Attempt, slot: int, future: "Future[object]") -> None:
        try:
            self._loop.call_soon_threadsafe(self._thread_reported, run, attempt, slot, future)
        except RuntimeError as error:  # the loop is closed: the run belongs to nobody here any more
            log.debug("a thread ended after its worker: %s", error)

    def _thread_reported(self, run: LiveRun, attempt: Attempt, slot: int, future: "Future[object]") -> None:
        self._crumbs.give_back(slot)
        error = future.exception()
        if isinstance(error, NotBegun):
            self._not_begun(run, attempt)
        elif error is not None:
            self._ended(run, attempt, None, error)
        else:
            self._returned(run, attempt, future.result())

    # ── from a body's end to what is recorded ────────────────────────────────────────────────────────────────────────

    def _returned(self, run: LiveRun, attempt: Attempt, value: object) -> None:
        if attempt.is_over:
            self._ended(run, attempt, b"", None)
            return
        try:
            payload = attempt.command.step.returns.encode(value, limit=self._settings.limits.payload_bytes)
        except Exception as error:
            self._ended(run, attempt, None, error, is_final=True)
        else:
            self._ended(run, attempt, payload, None)

    def _ended(self, run: LiveRun, attempt: Attempt, payload: bytes | None, error: BaseException | None, *, is_final: bool = False) -> None:
        """Every started attempt ends here exactly once: its slot is free again."""
        self._ports.reached("attempt.end")
        attempt.task = None  # it refers back to this attempt through its context: without a cycle nothing is left to the garbage collector
        self.under_way.discard(attempt)
        if not self.under_way:
            self._on_quiet()
        self._room[attempt.command.step.is_async] += 1
        self._start_queued(attempt.command.step.is_async)
        if attempt.is_over or not run.is_mine:
            return
        try:
            self._report(run, attempt, payload, error, is_final)
        except Exception as unexpected:
            self.on_spoiled(run, unexpected)

    def _timed_out(self, run: LiveRun, attempt: Attempt) -> None:
        if attempt.is_over or not run.is_mine:
            return
        limit = (attempt.command.options.timeout or 0) / SECOND
        error = TimeoutError(f"attempt {attempt.number} of step {attempt.command.name} took longer than its timeout of {limit:g} s")
        self._report(run, attempt, None, error, is_final=False)
        attempt.abandon()

    def _report(self, run: LiveRun, attempt: Attempt, payload: bytes | None, error: BaseException | None, is_final: bool) -> None:
        attempt.is_over = True
        if attempt.timer is not None:
            attempt.timer.cancel()
        run.attempts.pop(attempt.command.number, None)
        if error is None:
            self._results.record(run, attempt.command, RecordKind.STEP, payload, attempt.number)
        else:
            self._results.failed(run, attempt, error, is_final)

    # ── giving up and ending ─────────────────────────────────────────────────────────────────────────────────────────

    def abandon(self, run: LiveRun, number: int) -> None:
        """The workflow has cancelled the command: its attempt need not go on, and nothing is left of it on disk."""
        attempt = run.attempts.pop(number, None)
        if attempt is not None:
            attempt.abandon()
        retrying = run.retrying.pop(number, None)
        if retrying is not None:
            if retrying.timer is not None:
                retrying.timer.cancel()
            if retrying.is_on_disk:
                run.about_attempts().settled.append(number)

    def refuse_repeat(self, run: LiveRun, command: StepCommand, attempt: int) -> None:
        self._results.refuse_repeat(run, command, attempt)

    def give_up(self, run: LiveRun) -> None:
        """The run goes to somebody else, or ends: its attempts are not waited for."""
        for attempt in run.attempts.values():
            attempt.abandon()
        run.attempts.clear()

    def withdraw(self, run: LiveRun) -> None:
        """The run is handed over: what certainly has not begun of it leaves no intent behind, which nobody could tell from one that has."""
        if run.attempt_news is not None:
            run.attempt_news.intents.clear()
        for attempt in list(run.attempts.values()):
            if attempt not in self.under_way or (attempt.command.step.is_async and not attempt.has_begun):
                attempt.abandon()
                del run.attempts[attempt.command.number]
                self._results.take_back(run, attempt.command)
        for command in [command for put_off, command in self._put_off if put_off is run]:
            self._results.take_back(run, command)
        self._put_off = [one for one in self._put_off if one[0] is not run]

    def hold(self, run: LiveRun) -> None:
        """What waits for a slot does not begin, for the run is to be paused."""
        run.held = []
        for number, attempt in list(run.attempts.items()):
            if attempt not in self.under_way:
                attempt.abandon()
                del run.attempts[number]
                self.queue(run, attempt.command)

    def begin_released(self, run: LiveRun) -> None:
        """It is not to be paused after all."""
        released, run.released = run.released or (), None
        news = run.attempt_news
        begun = set() if news is None else {intent.command for intent in news.intents}
        for command in released:
            number = command.number
            if number in run.execution.open and number not in run.attempts and number not in begun:
                begun.add(number)
                if news is not None and number in news.settled:
                    news.settled.remove(number)  # its intent is on disk, and will be written again
                self.begin(run, command)

    def drain(self, on_quiet: Callable[[], None]) -> None:
        """Begin nothing more; what is under way may end. `on_quiet` is called when nothing is left."""
        self._is_draining = True
        self._on_quiet = on_quiet
        for queue in self._queues.values():
            queue.clear()  # their runs are withdrawn when they are handed over
        if not self.under_way:
            on_quiet()

    def close(self) -> None:
        self._threads.close()

    def _start_queued(self, kind: bool) -> None:
        queue = self._queues[kind]
        while queue and self._room[kind]:
            run, attempt = queue.popleft()
            if run.is_mine and not attempt.is_over:
                self._start(run, attempt)
