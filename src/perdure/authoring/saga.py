"""`saga()`: when what was begun cannot be finished, what was done is undone, the last first."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from types import TracebackType
from typing import Any, ParamSpec, Self, cast

from perdure.authoring.changes import is_continuation
from perdure.authoring.current import require_host
from perdure.authoring.step import Step, StepCall
from perdure.errors import CompensationFailed, NotAllowedInWorkflow

P = ParamSpec("P")
COMPENSATIONS_MOST = 10_000  # of one saga; each is held in memory with its arguments

_innermost: "ContextVar[Saga | None]" = ContextVar("perdure_saga", default=None)


def saga() -> "Saga":
    """Undo what was done when the block fails or is cancelled.

        async with saga() as undo:
            payment = await charge(order)
            undo(refund, payment)
            await ship(order)                 # if this fails for good, or the run is cancelled: refund(payment)

    `undo(step, …)` notes a step and its arguments, as they are then. If the block ends with an exception, the steps noted run one after
    the other, the last noted first, each with its own retries; then the exception goes on. They are recorded, survive crashes, and a
    cancellation waits until they are done. One that fails for good does not stop the others: CompensationFailed is raised in the end.
    Where a step may have had its effect although it failed, note what undoes it before calling it.

    A saga that succeeds inside another one hands over to it: what it noted is undone if the outer one fails. Leaving the block by
    `continue_as_new` is success. A task that nobody awaits ends with its run, and its saga with it: use a TaskGroup.
    """
    return Saga()


class Saga:
    """The block, and the function that it gives. `NotAllowedInWorkflow` where something is noted after the block."""

    def __init__(self) -> None:
        self._host = require_host("saga()")
        self._noted: list[Noted] = []
        self._outer: Saga | None = None
        self._is_open = False

    def __call__(self, step: Callable[P, Coroutine[Any, Any, object]], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Raises BadInput, EncodeError where the arguments do not fit the step."""
        if not isinstance(step, Step | StepCall):
            raise TypeError(f"undo() takes a step and its arguments, for what undoes is recorded, too; {step!r} is no step")
        if not self._is_open:
            raise NotAllowedInWorkflow(f"undo({_step_of(step).name}) outside its `async with saga()` block would never be called")
        if len(self._noted) >= COMPENSATIONS_MOST:
            raise NotAllowedInWorkflow(f"a saga notes at most {COMPENSATIONS_MOST:,} compensations")
        call = self._host.compensation(_step_of(step), step.settings, args, kwargs)
        self._noted.append(Noted(_step_of(step).name, call))
        self._host.have_to_undo(1)

    async def __aenter__(self) -> Self:
        if self._is_open:
            raise NotAllowedInWorkflow("a saga() is entered once; make another one")
        self._outer = _innermost.get()
        self._is_open = True
        _innermost.set(self)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._is_open = False
        _innermost.set(self._outer)
        if self._host.is_closing:
            return
        noted, self._noted = self._noted, []
        if error is None or is_continuation(error):
            self._hand_over(noted)
        elif noted:
            with self._host.undoing(error):
                self._host.have_to_undo(-len(noted))
                await _undo(noted, error)

    def _hand_over(self, noted: "list[Noted]") -> None:
        outer = self._outer
        while outer is not None and not outer._is_open:
            outer = outer._outer
        if outer is not None:
            outer._noted += noted
        else:
            self._host.have_to_undo(-len(noted))


class Noted:
    """A compensation: the step's name, and what asks for it."""

    def __init__(self, name: str, call: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self.name = name
        self.call = call


async def _undo(noted: list[Noted], error: BaseException) -> None:
    """All of it, whatever fails and whoever cancels; then say what failed, or that somebody has cancelled meanwhile."""
    failures: list[tuple[str, Exception]] = []
    cancelled: asyncio.CancelledError | None = None
    for one in reversed(noted):
        task = asyncio.ensure_future(_outcome_of(one))
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as request:  # put back below
                cancelled = request
        failure = RuntimeError("its task was cancelled by name") if task.cancelled() else task.result()
        if failure is not None:
            failures.append((one.name, failure))
    if failures:
        causes = [error] if isinstance(error, Exception) else []
        raise CompensationFailed(_told(error, failures, len(noted)), [*causes, *(failure for _, failure in failures)]) from error
    if cancelled is not None:
        raise cancelled


async def _outcome_of(noted: Noted) -> Exception | None:
    try:
        await noted.call()
    except Exception as failure:  # recorded, and raised when everything is undone
        return failure
    return None


def _told(error: BaseException, failures: list[tuple[str, Exception]], noted: int) -> str:
    which = ", ".join(name for name, _ in failures)
    return f"{len(failures)} of {noted} compensations failed ({which}) after {type(error).__name__}: {error}"


def _step_of(step: "Step[..., Any] | StepCall[..., Any]") -> Step[..., object]:
    return cast("Step[..., object]", step.step if isinstance(step, StepCall) else step)
