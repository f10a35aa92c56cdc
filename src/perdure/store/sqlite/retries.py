"""Retries a failed run: opens a generation that shares its history up to the failure."""

from collections.abc import Sequence

import apsw

from perdure.clock import Clock
from perdure.errors import NotRetryable
from perdure.model.records import Record
from perdure.model.runs import RunRow
from perdure.model.states import RunState
from perdure.store.changes import history_row
from perdure.store.generations import Generation, Part, generation_row
from perdure.store.retrying import carried_of, reached_before, retried_from
from perdure.store.sqlite.generations import generation, lineage
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.requests import existing
from perdure.store.sqlite.runs import last_record, read_part
from perdure.store.sqlite.statements import change

SQL = named_queries("generations")
RECORDS = named_queries("checkpoints")


def retry(db: apsw.Connection, namespace: str, clock: Clock, run_id: str) -> None:
    """Raises RunNotFound, NotRetryable, CorruptedHistory."""
    row = existing(db, namespace, run_id)
    if row.state is not RunState.FAILED:
        if not row.state.is_final and generation(db, namespace, run_id, row.generation).reason == "retry":
            return  # a repeat
        raise NotRetryable(f"run {run_id} is {row.state}: only a failed run can be retried; nothing was changed")
    position = retried_from(row, last_record(db, namespace, run_id))
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


def later_records(db: apsw.Connection, namespace: str, row: RunRow, position: int) -> Sequence[Record]:
    """All from there on."""
    return [
        record
        for part in lineage(db, namespace, row.id, row.generation)
        for record in read_part(db, namespace, row.id, Part(part.generation, max(part.after, position - 1), part.upto))
    ]
