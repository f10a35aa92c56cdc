"""Rows of the tables as the frozen data of the model, and back."""

import json
import zlib
from typing import Any

from perdure.errors import CorruptedHistory
from perdure.model.records import Record, RecordKind
from perdure.model.runs import AttemptRow, NewRun, RunRow, WorkerRow
from perdure.model.states import RunState
from perdure.store.protocol import Summary

Row = tuple[Any, ...]

STATES = {state.value: state for state in RunState}
KINDS = {kind.value: kind for kind in RecordKind}


def run_row(row: Row) -> RunRow:
    """From the first 17 columns of `runs.run`, or of a claim."""
    return RunRow(row[0], row[1], STATES[row[2]], row[3], row[4], row[5], row[6], row[7], bool(row[8]), *row[9:17])


def record_row(row: Row) -> Record:
    """Raises CorruptedHistory where the row is not what was written."""
    kind = KINDS.get(row[2])
    if kind is None:
        raise CorruptedHistory(f"record {row[0]} is damaged: there is no kind {row[2]!r}")
    record = Record(row[0], row[1], kind, *row[3:10])
    if record.checksum() != row[10]:
        raise CorruptedHistory(f"record {row[0]} is damaged: its checksum does not match")
    return record


def attempt_row(row: Row) -> AttemptRow:
    return AttemptRow(*row)


def worker_row(row: Row) -> WorkerRow:
    incarnation, host, boot, pid, lock, workflows, *rest = row
    try:
        names = tuple(json.loads(workflows))
    except ValueError:  # damaged: what it knows is unknown, whether it is dead is not
        names = ()
    return WorkerRow(incarnation, host, boot, pid, lock, names, *rest)


def summary_row(row: Row) -> Summary:
    return Summary(row[0], row[1], STATES[row[2]], *row[3:6])


def input_checksum(run: NewRun | RunRow) -> int:
    """Over what never changes of a run."""
    total = zlib.crc32(run.workflow.encode())
    for part in (run.input, run.input_hash, run.seed):
        total = zlib.crc32(part, total)
    return total
