"""How a run ends: from what its code did to its last record."""

from asyncio import CancelledError
from collections.abc import Callable

from perdure.engine.live import LiveRun
from perdure.errors import CompensationFailed
from perdure.model.generations import RetryPoint
from perdure.model.records import NewRecord, RecordKind
from perdure.model.states import RunState
from perdure.runtime.commands import Continued, Outcome, Raised, Returned
from perdure.store.endings import Continue, Finish


def ending_of(run: LiveRun, encode: Callable[[BaseException], bytes], python: str) -> Finish | Continue:
    """Of a run whose code has ended, or whose time to clean up after a cancel is over."""
    execution, name = run.execution, run.row.workflow
    outcome = execution.outcome
    if isinstance(outcome, Raised) and is_left_half_undone(outcome.error):
        record = NewRecord(RecordKind.FAILED, name, input=_told(execution.retry_point), error=encode(outcome.error))
        return Finish(RunState.FAILED, record, stands=True)
    if execution.is_cancelled:
        error = _error_of_clean_up(execution.outcome)
        return Finish(RunState.CANCELLED, NewRecord(RecordKind.CANCELLED, name, error=None if error is None else encode(error)))
    match execution.outcome:
        case Returned(payload=payload):
            return Finish(RunState.COMPLETED, NewRecord(RecordKind.COMPLETED, name, output=payload))
        case Raised(error=error):
            told = _told(execution.retry_point)
            return Finish(RunState.FAILED, NewRecord(RecordKind.FAILED, name, input=told, error=encode(error)))
        case Continued(payload=payload):
            carried = [NewRecord(RecordKind.SIGNAL, topic, output=left) for topic, left in execution.unreceived()]
            if execution.cancel_left is not None:
                carried.append(NewRecord(RecordKind.CANCEL, input=execution.cancel_left))
            return Continue(NewRecord(RecordKind.CONTINUED, name, output=payload), payload, carried, python)
        case None:
            raise AssertionError(f"run {run.id} has not ended")


def is_left_half_undone(error: BaseException) -> bool:
    """Whether a compensation has failed for good: then the run has failed, cancelled or not."""
    if isinstance(error, CompensationFailed):
        return True
    return isinstance(error, BaseExceptionGroup) and any(is_left_half_undone(one) for one in error.exceptions)


def _told(point: RetryPoint | None) -> bytes | None:
    return None if point is None else point.encoded()


def _error_of_clean_up(outcome: Outcome | None) -> BaseException | None:
    if outcome is None:
        return TimeoutError("its code had not ended when its time to clean up was over; it was cut off there")
    return outcome.error if isinstance(outcome, Raised) and not isinstance(outcome.error, CancelledError) else None
