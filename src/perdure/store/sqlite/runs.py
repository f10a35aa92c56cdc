"""Starts, reads, lists and resumes runs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from perdure.clock import Clock, Instant
from perdure.errors import CorruptedHistory
from perdure.model.records import Record
from perdure.model.runs import AttemptRow, NewRun, RunRow
from perdure.model.states import RunState
from perdure.store.protocol import BadItem, Loaded, Started, Summary
from perdure.store.sqlite.failures import REFUSES_DATA
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.rows import attempt_row, input_checksum, record_row, run_row, summary_row
from perdure.store.sqlite.statements import change, fetch

SQL = named_queries("runs")
LATEST = (2**62, "")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands in the history of a run."""

    generation: int
    position: int


def start(db: apsw.Connection, namespace: str, clock: Clock, run: NewRun) -> Started:
    now = clock.now()
    values = (namespace, run.id, run.workflow, run.input, run.input_hash, run.seed, input_checksum(run), now)
    try:
        is_new = change(db, SQL["insert"], values) == 1
    except REFUSES_DATA as error:
        raise BadItem(repr(run.id), f"cannot be stored: {error}") from error
    if is_new:
        return Started(new_row(run, now), True)
    row = read_run(db, namespace, run.id)
    assert row is not None
    return Started(row, False)


def new_row(run: NewRun, now: Instant) -> RunRow:
    """As it was just inserted."""
    return RunRow(
        run.id,
        run.workflow,
        RunState.PENDING,
        generation=0,
        input=run.input,
        input_hash=run.input_hash,
        seed=run.seed,
        python=None,
        needs_python=False,
        created_at=now,
        ended_at=None,
        owner=None,
        wake_at=now,
        issued=0,
        note=None,
        waiting_for=None,
        error=None,
    )


def read_run(db: apsw.Connection, namespace: str, run_id: str) -> RunRow | None:
    rows = fetch(db, SQL["run"], (namespace, run_id))
    return run_row(rows[0]) if rows else None


def ended(db: apsw.Connection, namespace: str, run_ids: Sequence[str]) -> Sequence[str]:
    unfinished = {run_id for (run_id,) in fetch(db, SQL["unfinished"], (namespace, json.dumps(run_ids)))}
    return [run_id for run_id in run_ids if run_id not in unfinished]


def resume(db: apsw.Connection, namespace: str, clock: Clock, run_id: str) -> RunRow | None:
    row = read_run(db, namespace, run_id)
    if row is not None:
        change(db, SQL["resume"], (namespace, run_id, clock.now()))
        change(db, SQL["acquit"], (namespace, run_id))
    return row


def listed(
    db: apsw.Connection,
    namespace: str,
    workflow: str | None,
    state: RunState | None,
    limit: int,
    before: tuple[Instant, str] | None,
) -> Sequence[Summary]:
    created_at, run_id = before or LATEST
    values = {"namespace": namespace, "workflow": workflow, "state": state, "limit": limit, "created_at": created_at, "id": run_id}
    return [summary_row(row) for row in fetch(db, SQL["listed"], values)]


# ── histories ────────────────────────────────────────────────────────────────────────────────────────────────────────


def load(db: apsw.Connection, namespace: str, run_ids: Sequence[str]) -> dict[str, Loaded]:
    found = {}
    for run_id in run_ids:
        rows = fetch(db, SQL["run"], (namespace, run_id))
        if rows:
            row = run_row(rows[0])
            found[run_id] = load_one(db, namespace, row, is_intact=input_checksum(row) == rows[0][17])
    return found


def load_short(db: apsw.Connection, namespace: str, run_id: str, records_most: int) -> Loaded | None:
    """None where the history is longer, or cannot be read: then it is loaded in a transaction of its own."""
    try:
        last = fetch(db, SQL["last_place"], (namespace, run_id))
        return load(db, namespace, [run_id]).get(run_id) if last and last[0][1] <= records_most else None
    except (UnicodeDecodeError, apsw.CorruptError):
        return None  # met again there, where it hurts no other run


def load_one(db: apsw.Connection, namespace: str, row: RunRow, is_intact: bool) -> Loaded:
    attempts = read_attempts(db, namespace, row.id)
    if not is_intact:
        return Loaded(row, (), attempts, "the input of the run is damaged: its checksum does not match")
    try:
        return Loaded(row, read_generation(db, namespace, row.id, row.generation), attempts)
    except CorruptedHistory as damage:
        return Loaded(row, (), attempts, str(damage))


def history(db: apsw.Connection, namespace: str, run_id: str) -> Sequence[Record]:
    """Raises CorruptedHistory."""
    places = [Place(*row) for row in fetch(db, SQL["places"], (namespace, run_id))]
    generations = sorted({place.generation for place in places})
    return [record for generation in generations for record in read_generation(db, namespace, run_id, generation)]


def last_record(db: apsw.Connection, namespace: str, run_id: str) -> Record | None:
    for row in fetch(db, SQL["last_place"], (namespace, run_id)):
        return read_record(db, namespace, run_id, Place(*row))
    return None


def read_generation(db: apsw.Connection, namespace: str, run_id: str, generation: int) -> Sequence[Record]:
    """Raises CorruptedHistory, which says which record is damaged or missing."""
    try:
        rows = fetch(db, SQL["records"], (namespace, run_id, generation))
    except (UnicodeDecodeError, apsw.CorruptError):
        return read_one_by_one(db, namespace, run_id, generation)
    records = []
    for position, row in enumerate(rows, 1):
        if row[0] != position:
            raise CorruptedHistory(f"run {run_id}: record {position} is missing")
        try:
            records.append(record_row(row))
        except CorruptedHistory as damage:
            raise CorruptedHistory(f"run {run_id}: {damage}") from None
    return records


def read_one_by_one(db: apsw.Connection, namespace: str, run_id: str, generation: int) -> Sequence[Record]:
    """Finds the record that cannot even be fetched."""
    try:
        places = [Place(*row) for row in fetch(db, SQL["places"], (namespace, run_id))]
    except apsw.CorruptError as error:
        raise CorruptedHistory(f"run {run_id}: its records cannot be read: {error}") from error
    return [read_record(db, namespace, run_id, place) for place in places if place.generation == generation]


def read_record(db: apsw.Connection, namespace: str, run_id: str, place: Place) -> Record:
    try:
        rows = fetch(db, SQL["record"], (namespace, run_id, place.generation, place.position))
        return record_row(rows[0])
    except (UnicodeDecodeError, apsw.CorruptError, IndexError) as error:
        raise CorruptedHistory(f"run {run_id}: record {place.position} is damaged: {error}") from error
    except CorruptedHistory as damage:
        raise CorruptedHistory(f"run {run_id}: {damage}") from None


def read_attempts(db: apsw.Connection, namespace: str, run_id: str) -> Sequence[AttemptRow]:
    return [attempt_row(row) for row in fetch(db, SQL["attempts"], (namespace, run_id))]
