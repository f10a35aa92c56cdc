"""Which runs become mine: due ones, and those whose owner is dead or unknown."""

from collections.abc import AsyncIterator, Mapping, Sequence

import asyncpg

from perdure.clock import Instant
from perdure.model.records import Record, RecordKind
from perdure.model.runs import RunRow
from perdure.store.changes import history_row
from perdure.store.postgresql.columns import columns
from perdure.store.postgresql.connections import Connection
from perdure.store.postgresql.looking import Seen
from perdure.store.postgresql.scope import Scope
from perdure.store.protocol import STRIKES_ALONE, Checkpoint, Claimed, Claims
from perdure.store.rows import run_row

RUN_WIDTH = 17
IS_FIRST, WAKE_AT = 17, 18  # columns behind those of the run: as it stood before
NEVER = 2**62


async def claim(db: Connection, scope: Scope, seen: Seen, batch: Checkpoint, wanted: Claims, page: int) -> tuple[list[Claimed], bool]:
    """At most a page, and whether a suspect waits for a worker that has nothing else.

    Each checkpoint begins with another workflow, and with orphans or with due runs by turns, so that nothing starves.
    """
    room = min(wanted.room, page)
    if room <= 0 or not wanted.workflows:
        return [], False
    suspect = await find_suspect(db, scope, seen, wanted) if seen.suspects else None
    found: list[asyncpg.Record] = []
    if suspect is not None and wanted.is_alone:
        values = (scope.namespace, suspect, batch.incarnation, wanted.python, seen.now)
        found = await db.fetch(scope.sql("claims", "claim"), *values)
    if not found:
        async for more in searches(db, scope, seen, batch, wanted, room):
            found += more
            room -= len(more)
            if room <= 0:
                break
    return [claimed_run(row, seen.now, seen.suspects) for row in found], suspect is not None and not wanted.is_alone


async def find_suspect(db: Connection, scope: Scope, seen: Seen, wanted: Claims) -> str | None:
    values = (scope.namespace, STRIKES_ALONE, wanted.python, list(wanted.workflows), seen.now)
    found: str | None = await db.fetchval(scope.sql("claims", "suspect"), *values)
    return found


async def searches(
    db: Connection, scope: Scope, seen: Seen, batch: Checkpoint, wanted: Claims, room: int
) -> AsyncIterator[Sequence[asyncpg.Record]]:
    turn = batch.number
    first = turn % len(wanted.workflows)
    due_first = not turn // len(wanted.workflows) % 2
    for workflow in wanted.workflows[first:] + wanted.workflows[:first]:
        for is_due in (due_first, not due_first):
            if is_due:
                what: object = seen.now
            elif seen.dead_owners:
                what = seen.dead_owners
            else:
                continue
            statement = scope.sql("claims", "due" if is_due else "orphaned")
            values = (scope.namespace, workflow, batch.incarnation, wanted.python, what, STRIKES_ALONE, room)
            rows = await db.fetch(statement, *values)
            room -= len(rows)
            yield sorted(rows, key=lambda row: row[WAKE_AT] or NEVER)
            if room <= 0:
                return


def claimed_run(row: asyncpg.Record, now: Instant, suspects: Mapping[str, int]) -> Claimed:
    """The time of a run begins when it is claimed first, not when it was asked for."""
    run: RunRow = run_row(tuple(row)[:RUN_WIDTH])
    started = Record(1, max(now, run.created_at), RecordKind.STARTED, run.workflow) if row[IS_FIRST] else None
    return Claimed(run, started, suspects.get(run.id, 0))


async def insert_started(db: Connection, scope: Scope, claimed: Sequence[Claimed]) -> None:
    rows = [history_row("", one.row.id, one.row.generation, one.started)[1:] for one in claimed if one.started is not None]
    if rows:
        await db.execute(scope.sql("checkpoints", "insert_records"), scope.namespace, *columns(rows, 0))
