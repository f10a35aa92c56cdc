"""Reads and lists runs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from perdure.clock import Instant
from perdure.errors import CorruptedHistory
from perdure.model.findings import Group
from perdure.model.generations import seed_of
from perdure.model.records import Record
from perdure.model.runs import AttemptRow, RunRow
from perdure.model.states import RunState
from perdure.store.callers.kinds import SqliteStatements
from perdure.store.generations import ALL_POSITIONS, FIRST, Part
from perdure.store.protocol import Loaded, Summary
from perdure.store.rows import INPUT_DAMAGED, STATES, attempt_row, input_checksum, record_row, run_row, summary_row
from perdure.store.sqlite.generations import generation, lineage
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.statements import fetch

SQL = named_queries("runs")
LATEST = (2**62, "")
CHECKSUM, REACHED = 18, 19  # columns of `run` behind those of the row
WHOLE = Part(FIRST, 0, ALL_POSITIONS)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands in the history of a run."""

    generation: int
    position: int


def read_run(db: SqliteStatements, namespace: str, run_id: str) -> RunRow | None:
    rows = fetch(db, SQL["run"], (namespace, run_id))
    return run_row(rows[0]) if rows else None


def ended(db: apsw.Connection, namespace: str, run_ids: Sequence[str]) -> Sequence[str]:
    unfinished = {run_id for (run_id,) in fetch(db, SQL["unfinished"], (namespace, json.dumps(run_ids)))}
    return [run_id for run_id in run_ids if run_id not in unfinished]


def listed(
    db: apsw.Connection,
    namespace: str,
    workflow: str | None,
    state: RunState | None,
    limit: int,
    before: tuple[Instant, str] | None,
) -> Sequence[Summary]:
    """Each combination of filters reads its own index from the newest on, so that a page costs as much among a million runs."""
    created_at, run_id = before or LATEST
    values = {"namespace": namespace, "limit": limit, "created_at": created_at, "id": run_id}
    if workflow is None:
        statement = SQL["listed"] if state is None else SQL["listed_of_state"]
        return [summary_row(row) for row in fetch(db, statement, values if state is None else {**values, "state": state})]
    found = [
        summary_row(row)
        for one in (RunState if state is None else (state,))
        for row in fetch(db, SQL["listed_of_workflow"], {**values, "workflow": workflow, "state": one})
    ]
    return sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)[:limit]


def groups(db: apsw.Connection, namespace: str) -> list[Group]:
    return [Group(*row) for row in fetch(db, SQL["groups"], (namespace,))]


def newest(db: apsw.Connection, namespace: str) -> Instant | None:
    found: Instant | None = fetch(db, SQL["newest"], (namespace,))[0][0]
    return found


def counts(db: apsw.Connection, namespace: str) -> dict[RunState, int]:
    """A state that there is not is that of a damaged row, which is shown as quarantined."""
    found: dict[RunState, int] = {}
    for name, count in fetch(db, SQL["counts"], (namespace,)):
        state = STATES.get(name, RunState.QUARANTINED)
        found[state] = found.get(state, 0) + count
    return found


# ── histories ────────────────────────────────────────────────────────────────────────────────────────────────────────


def load(db: apsw.Connection, namespace: str, run_ids: Sequence[str], bytes_most: int | None = None) -> dict[str, Loaded]:
    found: dict[str, Loaded] = {}
    for run_id in run_ids:
        rows = fetch(db, SQL["run"], (namespace, run_id))
        if rows:
            row = run_row(rows[0])
            is_intact = input_checksum(row) == rows[0][CHECKSUM]
            found[run_id] = load_one(db, namespace, row._replace(reached=rows[0][REACHED]), is_intact)
            if bytes_most is not None and (bytes_most := bytes_most - found[run_id].size) < 0:
                break
    return found


def load_short(db: apsw.Connection, namespace: str, run_id: str, records_most: int, bytes_most: int) -> Loaded | None:
    """None where the history is longer or larger, shared, or cannot be read: then it is loaded in a transaction of its own."""
    try:
        extents = fetch(db, SQL["extent"], (namespace, run_id, records_most))
        is_short = any(extent is not None and extent <= bytes_most for (extent,) in extents)
        return load(db, namespace, [run_id]).get(run_id) if is_short else None
    except apsw.CorruptError:
        return None  # met again there, where it hurts no other run


def load_one(db: apsw.Connection, namespace: str, row: RunRow, is_intact: bool) -> Loaded:
    attempts = read_attempts(db, namespace, row.id)
    if row.damage is not None or not is_intact:
        return Loaded(row, (), attempts, row.damage or INPUT_DAMAGED)
    try:
        if row.generation != FIRST:
            opened = generation(db, namespace, row.id, row.generation)
            row = row._replace(
                input=row.input if opened.input is None else opened.input,
                key_generation=opened.key_generation,
                seed=seed_of(row.seed, opened.key_generation),
            )
        records = read_generation(db, namespace, row.id, row.generation)
        return Loaded(row, records, attempts, size=sum(record.size for record in records))
    except CorruptedHistory as damage:
        return Loaded(row, (), attempts, str(damage))


def history(db: apsw.Connection, namespace: str, run_id: str) -> dict[int, Sequence[Record]]:
    """Raises CorruptedHistory."""
    places = [Place(*row) for row in fetch(db, SQL["places"], (namespace, run_id))]
    numbers = sorted({place.generation for place in places})
    return {number: read_part(db, namespace, run_id, lineage(db, namespace, run_id, number)[-1]) for number in numbers}


def last_record(db: apsw.Connection, namespace: str, run_id: str) -> Record | None:
    for row in fetch(db, SQL["last_place"], (namespace, run_id)):
        return read_record(db, namespace, run_id, Place(*row))
    return None


def read_generation(db: apsw.Connection, namespace: str, run_id: str, number: int) -> Sequence[Record]:
    """With what it shares with others. Raises CorruptedHistory, which says which record is damaged or missing."""
    if number == FIRST:
        return read_part(db, namespace, run_id, WHOLE)
    parts = lineage(db, namespace, run_id, number)
    records = [record for part in parts for record in read_part(db, namespace, run_id, part)]
    gap = next((position for position, record in enumerate(records, 1) if record.position != position), len(records) + 1)
    if gap <= max(len(records), parts[-1].after):
        raise CorruptedHistory(f"run {run_id}: record {gap} is missing")
    return records


def read_part(db: apsw.Connection, namespace: str, run_id: str, part: Part) -> Sequence[Record]:
    try:
        rows = fetch(db, SQL["records"], (namespace, run_id, part.generation, part.after, part.upto))
    except apsw.CorruptError:
        return read_one_by_one(db, namespace, run_id, part)
    records = []
    for position, row in enumerate(rows, part.after + 1):
        if row[0] != position:
            raise CorruptedHistory(f"run {run_id}: record {position} is missing")
        try:
            records.append(record_row(row))
        except CorruptedHistory as damage:
            raise CorruptedHistory(f"run {run_id}: {damage}") from None
    return records


def read_one_by_one(db: apsw.Connection, namespace: str, run_id: str, part: Part) -> Sequence[Record]:
    """Finds the record that cannot even be fetched."""
    try:
        places = [Place(*row) for row in fetch(db, SQL["places"], (namespace, run_id))]
    except apsw.CorruptError as error:
        raise CorruptedHistory(f"run {run_id}: its records cannot be read: {error}") from error
    wanted = [place for place in places if place.generation == part.generation and part.after < place.position <= part.upto]
    return [read_record(db, namespace, run_id, place) for place in wanted]


def read_record(db: apsw.Connection, namespace: str, run_id: str, place: Place) -> Record:
    try:
        rows = fetch(db, SQL["record"], (namespace, run_id, place.generation, place.position))
        return record_row(rows[0])
    except (apsw.CorruptError, IndexError) as error:
        raise CorruptedHistory(f"run {run_id}: record {place.position} is damaged: {error}") from error
    except CorruptedHistory as damage:
        raise CorruptedHistory(f"run {run_id}: {damage}") from None


def read_attempts(db: apsw.Connection, namespace: str, run_id: str) -> Sequence[AttemptRow]:
    return [attempt_row(row) for row in fetch(db, SQL["attempts"], (namespace, run_id))]
