"""Replays stored histories through the shipped runtime, outside any worker."""

from typing import Any

import apsw

from perdure.errors import CorruptedHistory, NonDeterminism
from perdure.model.records import Record, RecordKind
from perdure.model.states import RunState
from perdure.runtime.commands import Raised, Returned
from perdure.runtime.execution import Execution
from perdure.store.protocol import Loaded
from perdure.store.sqlite import runs
from tests.simulation.workload import WORKFLOWS

NAMESPACE = "default"
LIMIT = 1 << 20


class Replays:
    def __init__(self, path: str) -> None:
        self._db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)

    def close(self) -> None:
        self._db.close()

    def loaded(self, run_id: str) -> Loaded:
        return runs.load(self._db, NAMESPACE, [run_id])[run_id]

    def execution(self, run_id: str) -> Execution:
        """The run as its history leaves it. Raises NonDeterminism, CorruptedHistory."""
        return self._replayed(self.loaded(run_id))

    def _replayed(self, loaded: Loaded) -> Execution:
        row = loaded.row
        execution = Execution(row.id, WORKFLOWS[row.workflow], row.input, row.seed, LIMIT)
        execution.marks.recall(loaded.records, loaded.row.reached)
        for record in loaded.records:
            check_timer(execution, record)
            execution.apply(record)
        return execution

    def faults_of(self, run_id: str) -> list[str]:
        """I21: its history issues exactly the recorded commands and ends as recorded; I10: no timer fired before it was due."""
        loaded = self.loaded(run_id)
        if loaded.damage is not None:
            return [loaded.damage]
        try:
            execution = self._replayed(loaded)
        except (NonDeterminism, CorruptedHistory, AssertionError) as error:
            return [f"I21: run {run_id} does not replay: {error}"]
        found = list(differences(execution, loaded))
        execution.close()
        return found


def check_timer(execution: Execution, record: Record) -> None:
    if record.kind is not RecordKind.TIMER or execution.outcome is not None:
        return
    timers: Any = execution._loop.timers
    if record.command in timers and record.command not in {number for _, number in execution.due(record.at)}:
        raise AssertionError(f"I10: timer {record.command} fired at {record.at}, before it was due")


def differences(execution: Execution, loaded: Loaded) -> list[str]:
    row, last = loaded.row, loaded.records[-1] if loaded.records else None
    if not row.state.is_final:
        return []
    match execution.outcome:
        case Returned(payload):
            is_same = last is not None and last.kind is RecordKind.COMPLETED and last.output == payload
        case Raised():
            is_same = last is not None and last.kind is RecordKind.FAILED
        case None:
            is_same = False
    if execution.is_cancelled or row.state is RunState.CANCELLED:  # whatever its code did about it, and were it never run
        # Once for the cancel; once more where the time to clean up was over and a saga was left to undo.
        kinds = [record.kind for record in loaded.records]
        is_same = row.state is RunState.CANCELLED and kinds[-1] is RecordKind.CANCELLED and kinds.count(RecordKind.CANCEL) in (1, 2)
    return [] if is_same else [f"I21: run {row.id} is recorded as {row.state} with {last}, its history leads to {execution.outcome}"]
