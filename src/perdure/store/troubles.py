"""What is told of a run that is in trouble."""

from perdure.clock import Instant
from perdure.model.runs import RunRow
from perdure.model.states import RunState
from perdure.model.troubles import TroubleKind, TroubleRow


def described(run: RunRow | None, error_of_end: bytes | None, kind: TroubleKind, at: Instant, tries: int) -> TroubleRow | None:
    """None where it is not true any more. `error_of_end` is what a failed one has recorded."""
    if run is None or (kind is TroubleKind.STRANDED) == (run.state in (RunState.FAILED, RunState.QUARANTINED)):
        return None
    if kind is not TroubleKind.STRANDED and run.state.value != kind.value:
        return None
    error = error_of_end if kind is TroubleKind.FAILED else run.error
    return TroubleRow(run.id, run.workflow, kind, at, tries, error)
