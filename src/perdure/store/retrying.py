"""What a failed run is retried from, and what its next generation takes over."""

from collections.abc import Sequence

from perdure.errors import NotRetryable
from perdure.model.generations import retry_point_of
from perdure.model.records import Record, RecordKind
from perdure.model.runs import RunRow
from perdure.settings import DEFAULTS

CARRIED_MOST = DEFAULTS.limits.inbox_signals + 1000  # all signals that came before the failure was recorded, and what steps left
FAILURES = (RecordKind.STEP_FAILED, RecordKind.FAILED)


def retried_from(row: RunRow, last: Record | None) -> int:
    """The position of the first record that is not simply kept. Raises NotRetryable."""
    point = None if last is None or last.kind is not RecordKind.FAILED else retry_point_of(last.input)
    if last is None or point is None:
        raise NotRetryable(f"run {row.id} cannot be retried, for it is not recorded where it failed; start a new run")
    if point.position is None:
        raise NotRetryable(f"run {row.id} cannot be retried from where it failed: {point.obstacle}; start a new run")
    return min(point.position, last.position)


def reached_before(position: int, later: Sequence[Record]) -> int:
    """The last record whose activation is over for good: a step that failed was asked for by then, and is tried anew under its number.

    Code that raised of its own may be changed there: its last activation is still open.
    """
    return position - 1 if later and later[0].kind is RecordKind.STEP_FAILED else max(0, position - 2)


def carried_of(row: RunRow, later: Sequence[Record]) -> Sequence[Record]:
    """What is recorded from there on and is neither a failure nor a timer, which will be due again: results of other steps, signals."""
    carried = [record for record in later if record.kind not in FAILURES and record.kind is not RecordKind.TIMER]
    if len(carried) > CARRIED_MOST:
        raise NotRetryable(f"run {row.id} cannot be retried: {len(carried)} records followed its failure; start a new run")
    return carried
