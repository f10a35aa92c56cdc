"""One run in memory: its code, standing where its history has brought it. Records go in, commands come out."""

import asyncio
import sys
import zlib
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from contextvars import Context
from dataclasses import replace
from datetime import datetime
from functools import cached_property, partial
from random import Random
from typing import Any
from uuid import UUID

from perdure.authoring.changes import is_continuation
from perdure.authoring.current import Info
from perdure.authoring.step import Step, StepOptions
from perdure.authoring.workflow import Workflow
from perdure.clock import Instant, to_datetime
from perdure.codec.values import digest, encode
from perdure.errors import CorruptedHistory, DecodeError, NonDeterminism, NotAllowedInWorkflow
from perdure.model.generations import RetryPoint
from perdure.model.records import Record, RecordKind
from perdure.runtime import guard
from perdure.runtime.commands import Continued, Outcome, Raised, Returned, StepCommand
from perdure.runtime.divergence import check_compensation, check_step, telling_the_end
from perdure.runtime.loop import new_run_loop
from perdure.runtime.mailbox import Mailbox
from perdure.runtime.marks import Marks
from perdure.runtime.naming import check_name
from perdure.runtime.recorded import grace_of, raisable
from perdure.runtime.retry_point import Asked, Failures
from perdure.runtime.sagas import Sagas


class Execution:
    """Apply records in the order recorded; after each, the code has run until it waits. Also the host its code talks to."""

    # What most runs never come to stands on the class.
    is_cancelled = False
    is_out_of_time = False  # cancelled, and its time to clean up is over: nothing but what sagas undo is asked for any more
    _clean_up_ends_at: Instant | None = None
    retry_point: RetryPoint | None = None
    cancel_left: bytes | None = None  # of a cancel that came too late for this generation: its code is told in the next
    _next_payload: bytes | None = None
    _failures: Failures | None = None

    def __init__(
        self,
        run_id: str,
        workflow: Workflow[..., object],
        payload: bytes,
        seed: bytes,
        payload_bytes_most: int,
        steps: dict[str, Step[..., object]] | None = None,
    ) -> None:
        guard.install()
        self.run_id = run_id
        self.workflow = workflow
        self.position = 0
        self.issued = 0
        self.open: dict[int, StepCommand] = {}
        self._taken = 0
        self._abandoned: list[int] | None = None
        self.note: bytes | None = None
        self.outcome: Outcome | None = None
        self.marks = Marks()
        self.sagas = Sagas()
        self._steps = {} if steps is None else steps
        self._payload = payload
        self._payload_bytes_most = payload_bytes_most
        self._seed = seed
        self._mailbox = Mailbox()
        self._activation = 0
        self._loop = new_run_loop(self, zlib.crc32(run_id.encode()))
        self._main: asyncio.Task[object] | None = None

    # ── driving ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def at(self) -> Instant:
        return self._loop.now

    @property
    def is_replaying(self) -> bool:
        return self._loop.is_replaying

    def went_live(self) -> None:
        """The whole history has been applied: from here on, what the code does happens for the first time."""
        self._loop.is_replaying = self.outcome is not None

    def apply(self, record: Record) -> None:
        """Take one committed record. Raises NonDeterminism when the code does not match it, CorruptedHistory when it makes no sense."""
        if record.position != self.position + 1:
            raise CorruptedHistory(f"run {self.run_id}: record {record.position} follows record {self.position}")
        self.position = record.position
        self._loop.now = max(self._loop.now, record.at)
        if self.outcome is not None:
            self._check_late(record)
            return
        self._activation += 1
        match record.kind:
            case RecordKind.STARTED:
                self._begin(record.at)
            case RecordKind.STEP | RecordKind.STEP_FAILED:
                self._settle(record)
            case RecordKind.COMPENSATED | RecordKind.COMPENSATION_FAILED:
                check_compensation(record, self.open.get(-1 if record.command is None else record.command))
                self._settle(record)
            case RecordKind.TIMER:
                self._fire(record)
            case RecordKind.SIGNAL:
                self._mailbox.deliver(record.position, record.name, record.output or b"null")
            case RecordKind.CANCEL:
                self._cancel(record)
            case RecordKind.PATCHED:
                self.marks.check(record)
                return
            case RecordKind.COMPLETED | RecordKind.FAILED | RecordKind.CANCELLED | RecordKind.CONTINUED:
                return
        self._run()

    def _begin(self, at: Instant) -> None:
        self._loop.began = self._loop.now = at
        self._main = self._loop.create_task(self._call(), name=self.workflow.name, context=Context())

    async def _call(self) -> object:
        args, kwargs = self.workflow.parameters.decode(self._payload)
        return await self.workflow.function(*args, **kwargs)

    def _check_late(self, record: Record) -> None:
        """Recorded together with what ended the workflow: too late to be seen, but the code must have asked for it all the same."""
        with telling_the_end(self.outcome):
            match record.kind:
                case RecordKind.STEP | RecordKind.STEP_FAILED | RecordKind.COMPENSATED | RecordKind.COMPENSATION_FAILED:
                    self._answered(record)
                case RecordKind.TIMER:
                    self._check_timer(record)
                case RecordKind.SIGNAL if isinstance(self.outcome, Continued):  # the next generation may receive it
                    self._mailbox.deliver(record.position, record.name, record.output or b"null")
                case RecordKind.CANCEL if isinstance(self.outcome, Continued):
                    self.cancel_left = record.input
                case RecordKind.CANCEL:
                    self.is_cancelled = True
                case _:
                    return

    def _answered(self, record: Record) -> StepCommand:
        """The command whose outcome the record holds; it is open no more."""
        number = -1 if record.command is None else record.command
        command = self.open.get(number)
        check_step(record, command, self.issued, self.open)
        assert command is not None
        del self.open[number]
        return command

    def _settle(self, record: Record) -> None:
        command = self._answered(record)
        if command.future.done():
            return
        if record.error is not None:
            try:
                error = raisable(record.error)
            except DecodeError as refused:
                raise NonDeterminism(f"record {record.position}: the failure of step {record.name!r}: {refused}") from refused
            if not command.is_compensation:
                self._steps_failed().add(record.position, record.name, error, self._asked())
            command.future.set_exception(error)
            return
        try:
            command.future.set_result(command.step.returns.decode(record.output or b"null"))
        except DecodeError as error:
            raise NonDeterminism(
                f"record {record.position}: the recorded result of step {record.name!r} does not fit its type any more: {error}"
            ) from error

    def _asked(self) -> Asked:
        return (self.issued, self._loop.timers_set, self._mailbox.receives)

    def _steps_failed(self) -> Failures:
        self._failures = self._failures or Failures()
        return self._failures

    def _cancel(self, record: Record) -> None:
        """Once: what its code does about it is its own affair, until the time to clean up is over. Then again, where sagas must undo."""
        self.is_out_of_time = self.is_cancelled
        self.is_cancelled = True
        self._clean_up_ends_at = record.at + grace_of(record)
        if self._main is not None:
            self._main.cancel()

    def _fire(self, record: Record) -> None:
        self._loop.fire(self._check_timer(record))

    def _check_timer(self, record: Record) -> int:
        number = -1 if record.command is None else record.command
        if number >= self._loop.timers_set:
            raise NonDeterminism(
                f"record {record.position}: timer {number} fired, but the code has set {self._loop.timers_set} timers so far"
            )
        return number

    def _run(self) -> None:
        try:
            self._loop.run_until_idle()
        except (SystemExit, KeyboardInterrupt, NotAllowedInWorkflow) as error:
            self._end(Raised(error))
            return
        if self._main is not None and self._main.done() and not self.sagas.undoing:
            self._end(self._result_of(self._main))

    def _result_of(self, main: asyncio.Task[object]) -> Outcome:
        if main.cancelled():
            return Raised(asyncio.CancelledError("the workflow cancelled itself"))
        error = main.exception()
        if error is not None:
            payload = self._next_payload if is_continuation(error) else None
            return Raised(error) if payload is None else Continued(payload)
        try:
            return Returned(self.workflow.returns.encode(main.result(), limit=self._payload_bytes_most))
        except Exception as refused:
            return Raised(refused)

    def _end(self, outcome: Outcome) -> None:
        if self.outcome is None:
            self.outcome = outcome
            if isinstance(outcome, Raised):
                self.retry_point = self._steps_failed().retry_point(self.position, outcome.error, self._asked())
            self._taken = self.issued
            self._abandoned = [*(self._abandoned or ()), *self.open]
            self._loop.warn_of_unfinished(self._main)
            self.close()

    def close(self) -> None:
        """Drop the run on purpose: its coroutines are closed here and now, and every command they still give is refused."""
        if self.outcome is None:
            self._loop.is_replaying = True  # nothing more of it is heard: what has not been recorded has not happened
        self._loop.close()
        self._failures = None  # it refers to frames of the code
        self._main = None  # these refer to each other: without the cycle nothing is left to the garbage collector
        self._loop.host = None

    # ── what the engine asks ─────────────────────────────────────────────────────────────────────────────────────────

    def take_fresh(self) -> list[StepCommand]:
        """Commands issued since the last call that nobody has cancelled since."""
        if self._taken == self.issued:
            return []
        issued = (self.open.get(number) for number in range(self._taken, self.issued))
        self._taken = self.issued
        return [command for command in issued if command is not None and not command.is_cancelled]

    def take_abandoned(self) -> list[int]:
        """Numbers of commands that were cancelled since the last call: their attempts need not go on."""
        abandoned, self._abandoned = self._abandoned, None
        return abandoned or []

    def _abandon(self, number: int) -> None:
        self._abandoned = [*(self._abandoned or ()), number]

    def wanted(self) -> list[StepCommand]:
        """Commands that have no outcome yet and are still waited for."""
        return [command for command in self.open.values() if not command.is_cancelled]

    def due(self, now: Instant) -> list[tuple[Instant, int]]:
        return self._loop.due(now)

    def next_timer(self) -> Instant | None:
        return self._loop.next_deadline()

    @property
    def clean_up_ends_at(self) -> Instant | None:
        """Of a run that was cancelled: when it ends, whatever its code still does. Not while a saga undoes what it did."""
        return None if self.sagas.undoing else self._clean_up_ends_at

    def upcoming(self, most: int) -> list[tuple[Instant, int]]:
        return self._loop.upcoming(most)

    def next_deadline(self) -> Instant | None:
        """Of its timers and of the time to clean up."""
        timer, end = self._loop.next_deadline(), self.clean_up_ends_at
        return timer if end is None or (timer is not None and timer < end) else end

    def unreceived(self) -> list[tuple[str, bytes]]:
        """Signals that have entered the history and that no code has received."""
        return self._mailbox.left()

    def waited_topics(self) -> list[tuple[str, ...]]:
        return self._mailbox.waited_topics()

    # ── what workflow code asks (the Host protocol) ──────────────────────────────────────────────────────────────────

    async def call_step(self, step: Step[..., object], options: StepOptions, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        if self._loop.is_closing:
            await self._loop.create_future()  # there it gets RunClosing
        if self.is_out_of_time and not options.is_compensation:
            raise asyncio.CancelledError("the time to clean up is over")
        check_name(self._steps, step)
        payload, *ready = step.parameters.copy(args, kwargs, limit=self._payload_bytes_most)
        copied: Any = tuple(ready)
        future: asyncio.Future[object] = asyncio.Future(loop=self._loop)
        command = StepCommand(self.issued, step, options, payload, digest(payload), self._activation, future, copied)
        self.open[command.number] = command
        if sys.exception() is not None:
            self._steps_failed().handled = sys.exception()
        self.issued += 1
        try:
            return await future
        except asyncio.CancelledError:
            if command.number in self.open:
                command.is_cancelled = True
                self._abandon(command.number)
            raise

    def compensation(
        self, step: Step[..., object], options: StepOptions, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> Callable[[], Coroutine[Any, Any, object]]:
        check_name(self._steps, step)
        _, given, named = step.parameters.copy(args, kwargs, limit=self._payload_bytes_most)
        return partial(self.call_step, step, replace(options, is_compensation=True), given, named)

    def undoing(self, error: BaseException) -> AbstractContextManager[None]:
        self._steps_failed().handled = error
        return self.sagas.undo()

    def have_to_undo(self, more: int) -> None:
        self.sagas.noted += more

    @property
    def is_closing(self) -> bool:
        return self._loop.is_closing

    async def receive(self, topics: tuple[str, ...]) -> tuple[str, bytes]:
        if self._loop.is_closing:
            await self._loop.create_future()  # there it gets RunClosing
        if self.is_out_of_time:
            raise asyncio.CancelledError("the time to clean up is over")
        found = self._mailbox.take(topics)
        if found is not None:
            return found
        receiver = self._mailbox.wait(topics, self._loop.create_future())
        was_received = False
        try:
            topic, payload = await receiver.future
            was_received = True
            return topic, payload
        finally:
            self._mailbox.leave(receiver, was_received)

    def now(self) -> datetime:
        return to_datetime(self._loop.now)

    def instant(self) -> Instant:
        return self._loop.now

    def uuid4(self) -> UUID:
        return UUID(int=self._ids.getrandbits(128), version=4)

    def random(self) -> Random:
        return self._random

    @cached_property
    def _random(self) -> Random:
        return Random(self._seed)

    @cached_property
    def _ids(self) -> Random:
        return Random(b"uuid4" + self._seed)

    def info(self) -> Info:
        return Info(self.run_id, self.workflow.name)

    def set_status(self, note: object) -> None:
        if self._loop.is_closing:
            return
        self.note = encode(note, object, what="status note", limit=self._payload_bytes_most)

    def patched(self, mark: str) -> bool:
        if self._loop.is_closing:
            return self.marks.answered(mark)
        return self.marks.is_passed(mark, self.position, self.issued, self._loop.timers_set, is_live=not self._loop.is_replaying)

    def continue_as_new(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        if asyncio.current_task(self._loop) is not self._main:
            raise NotAllowedInWorkflow(
                "continue_as_new() ends the whole run, so only the workflow's own code may call it, not a task that it has started"
            )
        self._next_payload = self.workflow.parameters.encode(args, kwargs, limit=self._payload_bytes_most)

    def refuse_child(self, name: str) -> None:
        raise NotAllowedInWorkflow(
            f"workflow {name!r} was called inside a workflow; child workflows do not exist yet: call the code in a step or a plain function"
        )

    def __str__(self) -> str:
        return self.run_id
