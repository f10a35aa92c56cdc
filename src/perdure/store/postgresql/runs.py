"""Inserts, reads and lists runs."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import asyncpg

from perdure.clock import Instant
from perdure.errors import CorruptedHistory
from perdure.model.findings import Group
from perdure.model.generations import seed_of
from perdure.model.records import Record
from perdure.model.runs import AttemptRow, NewRun, RunRow
from perdure.model.states import RunState
from perdure.store.changes import history_row
from perdure.store.generations import ALL_POSITIONS, FIRST, Generation, Part, lineage_of
from perdure.store.postgresql.columns import columns
from perdure.store.postgresql.connections import Connection
from perdure.store.postgresql.generations import generations
from perdure.store.postgresql.scope import Scope
from perdure.store.postgresql.statements import Statements
from perdure.store.protocol import Claimant, Loaded, Started, Summary
from perdure.store.rows import INPUT_DAMAGED, STATES, attempt_row, input_checksum, record_row, run_row, summary_row
from perdure.store.starts import started

RUN_WIDTH = 18
CHECKSUM, REACHED = 18, 19  # columns behind those of the run
LATEST = (2**62, "")
LOADED_AT_ONCE = 50
WHOLE = Part(FIRST, 0, ALL_POSITIONS)


# ── starting ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def insert(db: Statements, scope: Scope, runs: Sequence[NewRun]) -> dict[str, Started]:
    """The ids that are new. Of two with one id the first counts."""
    found = await db.fetch(scope.sql("runs", "insert"), scope.namespace, *columns(map(row_of, runs), 6), scope.now())
    by_id = {run.id: run for run in runs}
    for row in found[:1]:
        scope.hear(row[1])
    return {row[0]: started(by_id[row[0]], row[1]) for row in found}


async def insert_claimed(db: Connection, scope: Scope, runs: Sequence[NewRun], now: Instant, claimant: Claimant) -> dict[str, Started]:
    """The same, claimed, unless the claimant is no live worker. Raises DivisionByZeroError where it is not `now`."""
    claimed = {run.id: started(run, now, claimant) for run in runs}
    firsts = [(run_id, one.claimed.started) for run_id, one in claimed.items() if one.claimed is not None]
    records = [history_row("", run_id, 0, first)[1:] for run_id, first in firsts if first is not None]
    found = await db.fetch(
        scope.sql("runs", "insert_claimed"),
        scope.namespace,
        *columns(map(row_of, runs), 6),
        now,
        scope.clock is not None,
        claimant.incarnation,
        claimant.python,
        *columns(records, 0),
    )
    by_id = {run.id: run for run in runs}
    return {row["id"]: claimed[row["id"]] if row["owner"] is not None else started(by_id[row["id"]], now) for row in found}


def row_of(run: NewRun) -> tuple[object, ...]:
    return run.id, run.workflow, run.input, run.input_hash, run.seed, input_checksum(run)


# ── rows and lists ───────────────────────────────────────────────────────────────────────────────────────────────────


async def read_run(db: Connection, scope: Scope, run_id: str) -> RunRow | None:
    row = await db.fetchrow(scope.sql("runs", "run"), scope.namespace, [run_id])
    return None if row is None else as_run(row)


async def read_runs(db: Statements, scope: Scope, run_ids: Sequence[str]) -> dict[str, RunRow]:
    return {row[0]: as_run(row) for row in await db.fetch(scope.sql("runs", "run"), scope.namespace, run_ids)}


async def locked(db: Connection, scope: Scope, run_id: str) -> RunRow | None:
    row = await db.fetchrow(scope.sql("runs", "locked"), scope.namespace, run_id)
    return None if row is None else as_run(row)


def as_run(row: Iterable[Any]) -> RunRow:
    return run_row(tuple(row)[:RUN_WIDTH])


async def ended(db: Connection, scope: Scope, run_ids: Sequence[str]) -> Sequence[str]:
    unfinished = {row[0] for row in await db.fetch(scope.sql("runs", "unfinished"), scope.namespace, list(run_ids))}
    return [run_id for run_id in run_ids if run_id not in unfinished]


async def listed(
    db: Connection, scope: Scope, workflow: str | None, state: RunState | None, limit: int, before: tuple[Instant, str] | None
) -> Sequence[Summary]:
    """Each combination of filters reads its own index from the newest on, so that a page costs as much among a million runs."""
    values = (scope.namespace, *(before or LATEST), limit)
    if workflow is not None:
        states = [str(one) for one in ((state,) if state else RunState)]
        rows = await db.fetch(scope.sql("runs", "listed_of_workflow"), *values, states, workflow)
    elif state is not None:
        rows = await db.fetch(scope.sql("runs", "listed_of_state"), *values, str(state))
    else:
        rows = await db.fetch(scope.sql("runs", "listed"), *values)
    return [summary_row(tuple(row)) for row in rows]


async def groups(db: Connection, scope: Scope) -> list[Group]:
    return [Group(*row) for row in await db.fetch(scope.sql("runs", "groups"), scope.namespace)]


async def newest(db: Connection, scope: Scope) -> Instant | None:
    found: Instant | None = await db.fetchval(scope.sql("runs", "newest"), scope.namespace)
    return found


async def counts(db: Connection, scope: Scope) -> dict[RunState, int]:
    """A state that there is not is that of a damaged row, which is shown as quarantined."""
    found: dict[RunState, int] = {}
    for name, count in await db.fetch(scope.sql("runs", "counts"), scope.namespace):
        state = STATES.get(name, RunState.QUARANTINED)
        found[state] = found.get(state, 0) + count
    return found


async def unfinished_after(db: Connection, scope: Scope, after: str, workflow: str | None, limit: int) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in await db.fetch(scope.sql("runs", "unfinished_after"), scope.namespace, after, workflow, limit)]


async def inboxes(db: Connection, scope: Scope, at_least: int) -> dict[str, int]:
    return {row[0]: row[1] for row in await db.fetch(scope.sql("runs", "inboxes"), scope.namespace, at_least)}


# ── histories ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def load(db: Connection, scope: Scope, run_ids: Sequence[str], bytes_most: int | None = None) -> dict[str, Loaded]:
    """In one moment; runs that have but one generation a page at once."""
    async with db.transaction(isolation="repeatable_read", readonly=True):
        found: dict[str, Loaded] = {}
        for first in range(0, len(run_ids), LOADED_AT_ONCE):
            for run_id, one in (await load_page(db, scope, run_ids[first : first + LOADED_AT_ONCE])).items():
                found[run_id] = one
                if bytes_most is not None and (bytes_most := bytes_most - one.size) < 0:
                    return found
        return found


async def load_page(db: Connection, scope: Scope, run_ids: Sequence[str]) -> dict[str, Loaded]:
    rows = {row[0]: row for row in await db.fetch(scope.sql("runs", "run"), scope.namespace, list(run_ids))}
    attempts = await read_attempts_of(db, scope, list(rows))
    simple = [run_id for run_id, row in rows.items() if row["generation"] == FIRST]
    first = await read_first(db, scope, simple)
    found = {}
    for run_id in run_ids:
        if run_id in rows:
            found[run_id] = await load_one(db, scope, rows[run_id], first.get(run_id, ()), attempts.get(run_id, ()))
    return found


async def load_one(
    db: Connection, scope: Scope, row: asyncpg.Record, first: Sequence[asyncpg.Record], attempts: Sequence[AttemptRow]
) -> Loaded:
    run = as_run(row)
    if run.damage is not None or input_checksum(run) != row[CHECKSUM]:
        return Loaded(run, (), attempts, run.damage or INPUT_DAMAGED)
    run = run._replace(reached=row[REACHED])
    try:
        if run.generation == FIRST:
            records = checked_part(run.id, first, WHOLE)
        else:
            known = await generations(db, scope, run.id)
            run = in_generation(run, known(run.generation))
            records = await read_generation(db, scope, run.id, run.generation, known)
        return Loaded(run, records, attempts, size=sum(record.size for record in records))
    except CorruptedHistory as damage:
        return Loaded(run, (), attempts, str(damage))


def in_generation(run: RunRow, opened: Generation) -> RunRow:
    return run._replace(
        input=run.input if opened.input is None else opened.input,
        key_generation=opened.key_generation,
        seed=seed_of(run.seed, opened.key_generation),
    )


async def history(db: Connection, scope: Scope, run_id: str) -> dict[int, Sequence[Record]]:
    """By generation. Raises CorruptedHistory."""
    async with db.transaction(isolation="repeatable_read", readonly=True):
        numbers = [row[0] for row in await db.fetch(scope.sql("runs", "places"), scope.namespace, run_id)]
        known = await generations(db, scope, run_id)
        return {number: await read_part(db, scope, run_id, lineage_of(run_id, number, known)[-1]) for number in numbers}


async def last_record(db: Connection, scope: Scope, run_id: str) -> Record | None:
    row = await db.fetchrow(scope.sql("runs", "last"), scope.namespace, run_id)
    return None if row is None else checked(run_id, row)


async def read_generation(db: Connection, scope: Scope, run_id: str, number: int, known: Callable[[int], Generation]) -> Sequence[Record]:
    """With what it shares with others. Raises CorruptedHistory, which says which record is damaged or missing."""
    parts = lineage_of(run_id, number, known)
    records = [record for part in parts for record in await read_part(db, scope, run_id, part)]
    gap = next((position for position, record in enumerate(records, 1) if record.position != position), len(records) + 1)
    if gap <= max(len(records), parts[-1].after):
        raise CorruptedHistory(f"run {run_id}: record {gap} is missing")
    return records


async def read_part(db: Connection, scope: Scope, run_id: str, part: Part) -> Sequence[Record]:
    values = (scope.namespace, run_id, part.generation, part.after, part.upto)
    return checked_part(run_id, await db.fetch(scope.sql("runs", "records"), *values), part)


async def read_first(db: Connection, scope: Scope, run_ids: Sequence[str]) -> Mapping[str, Sequence[asyncpg.Record]]:
    found = defaultdict(list)
    if run_ids:
        for row in await db.fetch(scope.sql("runs", "first_records"), scope.namespace, run_ids):
            found[row["run_id"]].append(row)
    return found


def checked_part(run_id: str, rows: Sequence[asyncpg.Record], part: Part) -> Sequence[Record]:
    records = []
    for position, row in enumerate(rows, part.after + 1):
        record = checked(run_id, row)
        if record.position != position:
            raise CorruptedHistory(f"run {run_id}: record {position} is missing")
        records.append(record)
    return records


def checked(run_id: str, row: asyncpg.Record) -> Record:
    try:
        return record_row(tuple(row)[-11:])
    except CorruptedHistory as damage:
        raise CorruptedHistory(f"run {run_id}: {damage}") from None


async def read_attempts(db: Connection, scope: Scope, run_id: str) -> Sequence[AttemptRow]:
    return (await read_attempts_of(db, scope, [run_id])).get(run_id, [])


async def read_attempts_of(db: Connection, scope: Scope, run_ids: Sequence[str]) -> Mapping[str, Sequence[AttemptRow]]:
    found = defaultdict(list)
    for row in await db.fetch(scope.sql("runs", "attempts"), scope.namespace, run_ids):
        found[row[0]].append(attempt_row(tuple(row)[1:]))
    return found
