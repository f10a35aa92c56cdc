"""All that a replay needs of one run, wherever it was read: in a store or in an exported file."""

from collections.abc import Sequence
from dataclasses import dataclass

from perdure.clock import Instant
from perdure.model.records import Record
from perdure.model.runs import AttemptRow, RunRow
from perdure.model.states import RunState


@dataclass(frozen=True, slots=True)
class History:
    """One generation of a run. `issued`: how many commands it had asked for when it was last put down, those without a record included.

    `reached`: the last record whose activation is known to have been over then.
    """

    run_id: str
    workflow: str
    state: RunState
    generation: int
    input: bytes
    seed: bytes
    python: str | None
    needs_python: bool
    created_at: Instant
    issued: int
    reached: int
    records: tuple[Record, ...]
    attempts: tuple[AttemptRow, ...]


def history_of(row: RunRow, records: Sequence[Record], attempts: Sequence[AttemptRow]) -> History:
    """What a store holds of a run, without what belongs to the moment: its owner, its next wake-up, its note."""
    return History(
        row.id,
        row.workflow,
        row.state,
        row.generation,
        row.input,
        row.seed,
        row.python,
        row.needs_python,
        row.created_at,
        row.issued,
        row.reached,
        tuple(records),
        tuple(attempts),
    )
