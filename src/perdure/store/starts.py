"""A run as it stands when it was just started."""

from perdure.clock import Instant
from perdure.model.records import Record, RecordKind
from perdure.model.runs import NewRun, RunRow
from perdure.model.states import RunState
from perdure.store.protocol import Claimant, Claimed, Started


def started(run: NewRun, now: Instant, claimant: Claimant | None = None) -> Started:
    """Pending and due at once, or the claimant's from the beginning."""
    row = RunRow(
        run.id,
        run.workflow,
        RunState.PENDING if claimant is None else RunState.RUNNING,
        generation=0,
        input=run.input,
        input_hash=run.input_hash,
        seed=run.seed,
        python=None if claimant is None else claimant.python,
        needs_python=False,
        created_at=now,
        ended_at=None,
        owner=None if claimant is None else claimant.incarnation,
        wake_at=now if claimant is None else None,
        issued=0,
        note=None,
        waiting_for=None,
        error=None,
        fencing=0 if claimant is None else now,
    )
    return Started(row, True, None if claimant is None else Claimed(row, Record(1, now, RecordKind.STARTED, run.workflow)))
