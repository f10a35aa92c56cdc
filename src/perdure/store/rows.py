"""Rows of a store as the frozen data of the model, and what is damaged of them."""

import json
import zlib
from typing import Any

from perdure.clock import Instant
from perdure.errors import CorruptedHistory
from perdure.model.records import Record, RecordKind
from perdure.model.runs import AttemptRow, NewRun, RunRow, WorkerRow
from perdure.model.states import RunState
from perdure.store.damaged_text import DamagedText, as_text
from perdure.store.protocol import Summary

Row = tuple[Any, ...]

STATES = {state.value: state for state in RunState}
FENCING = 17  # column of `runs.run`, and of a claim
INPUT_DAMAGED = "the input of the run is damaged: its checksum does not match"
KINDS = {kind.value: kind for kind in RecordKind}


def run_row(row: Row) -> RunRow:
    """From the first 18 columns of `runs.run`, or of a claim. One that says what cannot be is quarantined as long as it does."""
    state = STATES.get(row[2], RunState.QUARANTINED)
    python = None if row[7] is None else as_text(row[7])
    run = RunRow(as_text(row[0]), as_text(row[1]), state, row[3], row[4], row[5], row[6], python, bool(row[8]), *row[9:18])
    damage = damage_of(run, row[2])
    return run if damage is None else run._replace(state=RunState.QUARANTINED, damage=damage, error=damage_failure(damage))


def damage_of(run: RunRow, state: str) -> str | None:
    """Of its row, where that says what cannot be; its input has a checksum. An owner is only compared, and overwritten by a claim."""
    if state not in STATES:
        return f"its row is damaged: there is no state {state!r}"
    if run.state.is_final != (run.ended_at is not None):
        return f"its row is damaged: it is {state} and ended_at is {run.ended_at}"
    for column, text in (("id", run.id), ("workflow", run.workflow), ("python", run.python)):
        if type(text) is DamagedText:
            return f"its row is damaged: the {column} is {text!r}"
    return None


def damage_failure(damage: str) -> bytes:
    """The error of a run whose row is damaged, as failures are stored."""
    message = f"{damage}; nothing was changed. Put its row of table runs right from a backup, then resume the run"
    return json.dumps({"type": "perdure.errors.CorruptedHistory", "message": message, "args": None, "traceback": ""}).encode()


def record_row(row: Row) -> Record:
    """Raises CorruptedHistory where the row is not what was written."""
    kind = KINDS.get(row[2])
    if kind is None:
        raise CorruptedHistory(f"record {row[0]} is damaged: there is no kind {row[2]!r}")
    record = Record(row[0], row[1], kind, *row[3:10])
    if record.checksum() != row[10]:
        raise CorruptedHistory(f"record {row[0]} is damaged: its checksum does not match")
    return record


def signal_checksum(run_id: str, number: int, arrived_at: Instant, id: str, topic: str, payload: bytes) -> int:
    """Over everything but the namespace: a flipped bit anywhere in a row of the inbox is seen when it is read."""
    return zlib.crc32(payload, zlib.crc32(f"{run_id}|{number}|{arrived_at}|{id}|{topic}".encode()))


def damaged_signal(number: int, topic: str) -> CorruptedHistory:
    return CorruptedHistory(
        f"signal {number} (topic {topic!r}) in its inbox is damaged: its checksum does not match; nothing of the inbox was delivered. "
        "Put its row of table inbox right from a backup, or delete it and let it be sent again; then resume the run"
    )


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
    return Summary(as_text(row[0]), as_text(row[1]), STATES.get(row[2], RunState.QUARANTINED), *row[3:6])


def input_checksum(run: NewRun | RunRow) -> int:
    """Over what never changes of a run."""
    total = zlib.crc32(run.workflow.encode())
    for part in (run.input, run.input_hash, run.seed):
        total = zlib.crc32(part, total)
    return total
