"""Which runs become mine: due ones, and those whose owner is dead or unknown."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import asyncpg

from perdure.clock import Instant
from perdure.model.records import Record, RecordKind
from perdure.model.runs import RunRow
from perdure.model.troubles import TroubleKind
from perdure.store.changes import history_row
from perdure.store.pages import Pages
from perdure.store.postgresql.columns import columns
from perdure.store.postgresql.connections import Connection
from perdure.store.postgresql.looking import Seen
from perdure.store.postgresql.runs import load_page
from perdure.store.postgresql.scope import Scope
from perdure.store.protocol import STRIKES_ALONE, Checkpoint, Claimed, Claims
from perdure.store.rows import INPUT_DAMAGED, Row, damage_failure, input_checksum, run_row

RUN_WIDTH = 18
IS_FIRST, CHECKSUM, WAKE_AT, SIZE, SEEN = 18, 19, 20, 21, 22  # columns behind those of the run: as it stood before
ANSWERS = 6  # of `take`, before the columns of a run
NEVER = 2**62
LOADED_AT_ONCE = 4  # so many histories are read in the transaction of the claim
SHORT_RECORDS = 100
SHORT_BYTES = 256 * 1024  # of its records


@dataclass(frozen=True, slots=True)
class Taken:
    """What one checkpoint has claimed."""

    runs: Sequence[Claimed] = ()
    set_aside: Mapping[str, str] = field(default_factory=dict)  # runs whose row is damaged: they were quarantined instead
    has_more: bool = False
    suspects_wait: bool = False  # some run can be claimed only by a worker that has nothing else


@dataclass(slots=True)
class Bounds:
    """How much one claim may take yet."""

    room: int
    bytes_left: int
    is_untouched: bool = True

    def take(self, rows: Sequence[asyncpg.Record]) -> None:
        self.room -= len(rows)
        self.bytes_left -= sum(row[SIZE] for row in rows)
        self.is_untouched = self.is_untouched and not rows


async def take(
    db: Connection, scope: Scope, seen: Seen, batch: Checkpoint, wanted: Claims, pages: Pages, *, has_passed: bool
) -> Taken | None:
    """At most a page of due runs with one statement, which is the fence, too, unless the checkpoint `has_passed` it. None: the fence stood.

    Raises DivisionByZeroError where something is not as it is taken for granted.
    """
    room = min(wanted.room, pages.claims)
    asked = [(workflow, python) for workflow in turned(batch, wanted) for python in ("", wanted.python)]
    checksums = [first_record(workflow, seen.now).checksum() for workflow, _ in asked]
    is_checked = seen.is_foreseen and scope.clock is None
    before = batch.number if has_passed else batch.number - 1
    rows = await db.fetch(
        scope.sql("claims", "take"),
        *(scope.namespace, batch.incarnation, batch.number, batch.lease, scope.lease_now(), room, wanted.python, seen.now),
        *([workflow for workflow, _ in asked], [python for _, python in asked], pages.claim_bytes, checksums, before, is_checked),
    )
    (answer,), rest = [row for row in rows if row["passed"] is not None], [tuple(row)[ANSWERS:] for row in rows if row["passed"] is None]
    passed, now, in_sight, order, is_first = answer[: ANSWERS - 1]
    scope.hear(now)
    if not passed:
        return None
    rows_by_id = {row[0]: row for row in rest}
    found = [(*rows_by_id[run_id][:RUN_WIDTH], first, rows_by_id[run_id][-1]) for run_id, first in zip(order, is_first, strict=True)]
    damaged = {row[0]: damage for row in found if (damage := damage_of_claimed(row)) is not None}
    claimed = [
        Claimed(run_row(row[:RUN_WIDTH]), first_record(row[1], seen.now) if row[IS_FIRST] else None)
        for row in found
        if row[0] not in damaged
    ]
    return Taken(claimed, damaged, len(found) < in_sight or len(found) >= room)


def first_record(workflow: str, at: Instant) -> Record:
    return Record(1, at, RecordKind.STARTED, workflow)


def turned(batch: Checkpoint, wanted: Claims) -> Sequence[str]:
    """Each checkpoint begins with another workflow, so that none starves."""
    first = batch.number % max(1, len(wanted.workflows))
    return wanted.workflows[first:] + wanted.workflows[:first]


async def claim(db: Connection, scope: Scope, seen: Seen, batch: Checkpoint, wanted: Claims, pages: Pages) -> Taken:
    """At most a page.

    Each checkpoint begins with another workflow, and with orphans or with due runs by turns, so that nothing starves.
    """
    room = min(wanted.room, pages.claims)
    if room <= 0 or not wanted.workflows:
        return Taken()
    suspect = await find_suspect(db, scope, seen, wanted) if seen.suspects else None
    found: list[asyncpg.Record] = []
    has_more = False
    if suspect is not None and wanted.is_alone:
        values = (scope.namespace, suspect, batch.incarnation, wanted.python, seen.now)
        found = await db.fetch(scope.sql("claims", "claim"), *values)
    if not found:
        async for more in searches(db, scope, seen, batch, wanted, Bounds(room, pages.claim_bytes)):
            found += more
            has_more = bool(more) and len(more) < more[0][SEEN]
            if has_more or len(found) >= room:
                has_more = True
                break
    damaged = {row[0]: damage for row in found if (damage := damage_of_claimed(row)) is not None}
    await set_aside(db, scope, seen.now, damaged)
    claimed = [claimed_run(row, seen.now, seen.suspects) for row in found if row[0] not in damaged]
    return Taken(await with_histories(db, scope, claimed), damaged, has_more, suspect is not None and not wanted.is_alone)


def damage_of_claimed(row: Row | asyncpg.Record) -> str | None:
    """Of a history that is there already the checksums are looked at when it is loaded."""
    run = run_row(tuple(row)[:RUN_WIDTH])
    if run.damage is None and row[IS_FIRST] and input_checksum(run) != row[CHECKSUM]:
        return INPUT_DAMAGED
    return run.damage


async def set_aside(db: Connection, scope: Scope, now: Instant, damaged: Mapping[str, str]) -> None:
    """They would be found again by every claim, and keep others from being claimed."""
    for run_id, damage in damaged.items():
        await db.execute(scope.sql("claims", "set_aside"), scope.namespace, run_id, damage_failure(damage))
        await db.execute(scope.sql("checkpoints", "trouble"), scope.namespace, run_id, str(TroubleKind.QUARANTINED), now)


async def find_suspect(db: Connection, scope: Scope, seen: Seen, wanted: Claims) -> str | None:
    values = (scope.namespace, STRIKES_ALONE, wanted.python, list(wanted.workflows), seen.now)
    found: str | None = await db.fetchval(scope.sql("claims", "suspect"), *values)
    return found


async def searches(
    db: Connection, scope: Scope, seen: Seen, batch: Checkpoint, wanted: Claims, bounds: Bounds
) -> AsyncIterator[Sequence[asyncpg.Record]]:
    due_first = not batch.number // len(wanted.workflows) % 2
    for workflow in turned(batch, wanted):
        for is_due in (due_first, not due_first):
            if is_due:
                what: object = seen.now
            elif seen.dead_owners:
                what = seen.dead_owners
            else:
                continue
            statement = scope.sql("claims", "due" if is_due else "orphaned")
            values = (
                scope.namespace,
                workflow,
                batch.incarnation,
                wanted.python,
                what,
                STRIKES_ALONE,
                bounds.room,
                seen.now,
                bounds.bytes_left,
                bounds.is_untouched,
            )
            rows = await db.fetch(statement, *values)
            bounds.take(rows)
            yield sorted(rows, key=lambda row: row[WAKE_AT] or NEVER)


def claimed_run(row: asyncpg.Record, now: Instant, suspects: Mapping[str, int]) -> Claimed:
    """The time of a run begins when it is claimed first, not when it was asked for."""
    run: RunRow = run_row(tuple(row)[:RUN_WIDTH])
    started = first_record(run.workflow, max(now, run.created_at)) if row[IS_FIRST] else None
    return Claimed(run, started, suspects.get(run.id, 0))


async def with_histories(db: Connection, scope: Scope, claimed: Sequence[Claimed]) -> Sequence[Claimed]:
    """Where few runs were woken, those whose history is short come with it: one trip less for whoever waits for them."""
    woken = [one.row.id for one in claimed if one.started is None]
    if not woken or len(woken) > LOADED_AT_ONCE:
        return claimed
    short = await db.fetch(scope.sql("runs", "short"), scope.namespace, woken, SHORT_RECORDS, SHORT_BYTES)
    loaded = await load_page(db, scope, [row[0] for row in short])
    return [replace(one, loaded=loaded.get(one.row.id)) for one in claimed]


async def insert_started(db: Connection, scope: Scope, claimed: Sequence[Claimed]) -> None:
    rows = [history_row("", one.row.id, one.row.generation, one.started)[1:] for one in claimed if one.started is not None]
    if rows:
        await db.execute(scope.sql("checkpoints", "insert_records"), scope.namespace, *columns(rows, 0))
