"""What is told of a run that is in trouble."""

from perdure.clock import Instant
from perdure.model.records import Record
from perdure.model.runs import RunRow
from perdure.model.states import RunState
from perdure.model.troubles import TroubleKind, TroubleRow


def described(run: RunRow | None, last: Record | None, kind: TroubleKind, at: Instant, tries: int) -> TroubleRow | None:
    """None where it is not true any more. `last` is the last record of the run; only of a failed one it says why."""
    if run is None or (kind is TroubleKind.STRANDED) == (run.state in (RunState.FAILED, RunState.QUARANTINED)):
        return None
    if kind is not TroubleKind.STRANDED and run.state.value != kind.value:
        return None
    error = run.error
    if kind is TroubleKind.FAILED:
        error = None if last is None else last.error
    return TroubleRow(run.id, run.workflow, kind, at, tries, error)
