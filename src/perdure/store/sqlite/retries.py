"""Retries a failed run: opens a generation that shares its history up to the failure."""

from collections.abc import Sequence

import apsw

from perdure.clock import Clock
from perdure.errors import NotRetryable
from perdure.model.generations import retry_point_of
from perdure.model.records import Record, RecordKind
from perdure.model.runs import RunRow
from perdure.model.states import RunState
from perdure.settings import DEFAULTS
from perdure.store.changes import history_row
from perdure.store.generations import Generation, Part, generation_row
from perdure.store.sqlite.generations import generation, lineage
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.requests import existing
from perdure.store.sqlite.runs import last_record, read_part
from perdure.store.sqlite.statements import change

SQL = named_queries("generations")
RECORDS = named_queries("checkpoints")
CARRIED_MOST = DEFAULTS.limits.inbox_signals + 1000  # all signals that came before the failure was recorded, and what steps left
FAILURES = (RecordKind.STEP_FAILED, RecordKind.FAILED)


def retry(db: apsw.Connection, namespace: str, clock: Clock, run_id: str) -> None:
    """Raises RunNotFound, NotRetryable, CorruptedHistory."""
    row = existing(db, namespace, run_id)
    if row.state is not RunState.FAILED:
        if not row.state.is_final and generation(db, namespace, run_id, row.generation).reason == "retry":
            return  # a repeat
        raise NotRetryable(f"run {run_id} is {row.state}: only a failed run can be retried; nothing was changed")
    position = retried_from(db, namespace, row)
    later = later_records(db, namespace, row, position)
    carried = carried_of(row, later)
    now = clock.now()
    base = generation(db, namespace, run_id, row.generation)
    opened = Generation(row.generation + 1, "retry", row.generation, position - 1, base.key_generation, base.input)
    change(db, RECORDS["open_generation"], generation_row(namespace, run_id, opened, now))
    for number, record in enumerate(carried, position):
        change(db, RECORDS["insert_record"], history_row(namespace, run_id, opened.number, record._replace(position=number)))
    change(db, SQL["retry"], (namespace, run_id, opened.number, now, reached_before(position, later)))
    change(db, RECORDS["clear_strikes"], (namespace, run_id))


def retried_from(db: apsw.Connection, namespace: str, row: RunRow) -> int:
    """The position of the first record that is not simply kept."""
    last = last_record(db, namespace, row.id)
    point = None if last is None or last.kind is not RecordKind.FAILED else retry_point_of(last.input)
    if last is None or point is None:
        raise NotRetryable(f"run {row.id} cannot be retried, for it is not recorded where it failed; start a new run")
    if point.position is None:
        raise NotRetryable(f"run {row.id} cannot be retried from where it failed: {point.obstacle}; start a new run")
    return min(point.position, last.position)


def later_records(db: apsw.Connection, namespace: str, row: RunRow, position: int) -> Sequence[Record]:
    """All from there on."""
    return [
        record
        for part in lineage(db, namespace, row.id, row.generation)
        for record in read_part(db, namespace, row.id, Part(part.generation, max(part.after, position - 1), part.upto))
    ]


def reached_before(position: int, later: Sequence[Record]) -> int:
    """The last record whose activation is over for good: a step that failed was asked for by then, and is tried anew under its number.

    Code that raised of its own may be changed there: its last activation is still open.
    """
    return position - 1 if later and later[0].kind is RecordKind.STEP_FAILED else max(0, position - 2)


def carried_of(row: RunRow, later: Sequence[Record]) -> Sequence[Record]:
    """What is neither a failure nor a timer, which will be due again: results of other steps, signals."""
    carried = [record for record in later if record.kind not in FAILURES and record.kind is not RecordKind.TIMER]
    if len(carried) > CARRIED_MOST:
        raise NotRetryable(f"run {row.id} cannot be retried: {len(carried)} records followed its failure; start a new run")
    return carried
