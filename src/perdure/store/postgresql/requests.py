"""What people want of a run: it is done at once where nobody owns the run, else it waits for the owner as a row.

The row of the run is locked meanwhile, and says afterwards that wishes for it have changed: a checkpoint that did not see them begins anew.
"""

from perdure.clock import Instant, Microseconds
from perdure.errors import CorruptedHistory, NotRetryable, RunEnded, RunNotFound
from perdure.model.records import NewRecord, Record, RecordKind
from perdure.model.runs import RunRow
from perdure.model.states import RunState
from perdure.store.changes import history_row
from perdure.store.postgresql.columns import columns
from perdure.store.postgresql.connections import Connection
from perdure.store.postgresql.generations import generations
from perdure.store.postgresql.looking import is_sound
from perdure.store.postgresql.runs import locked
from perdure.store.postgresql.scope import Scope
from perdure.store.postgresql.signals import changed
from perdure.store.wishes import CANCEL, PAUSE, cancel_record


async def cancel(db: Connection, scope: Scope, run_id: str, grace: Microseconds) -> None:
    row = await existing(db, scope, run_id)
    if row.state is RunState.CANCELLED:
        return
    if row.state.is_final:
        raise RunEnded(f"run {run_id} has ended ({row.state}) and cannot be cancelled any more; nothing was changed")
    now = await moment(db, scope)
    if row.state is RunState.QUARANTINED or row.python is None:
        await end_unclaimed(db, scope, row, now, grace)
        return
    run = (scope.namespace, run_id)
    last = await db.fetchval(scope.sql("signals", "last_arrival"), *run) or 0
    if not changed(await db.execute(scope.sql("requests", "insert"), *run, CANCEL, max(now, last + 1), grace)):
        return  # a repeat
    await db.execute(scope.sql("requests", "delete"), *run, PAUSE)
    await db.execute(scope.sql("requests", "change"), *run)
    await db.execute(scope.sql("requests", "wake"), *run, now)


async def end_cancelled(db: Connection, scope: Scope, run_id: str) -> None:
    """A run that has been quarantined although a cancel was waiting for it ends as it would have if that had come now."""
    row = await locked(db, scope, run_id)
    wanted = await db.fetchrow(scope.sql("requests", "grace"), scope.namespace, run_id)
    if row is None or row.damage is not None or row.state is not RunState.QUARANTINED or wanted is None:
        return
    try:
        await end_unclaimed(db, scope, row, await moment(db, scope), wanted[0])
    except CorruptedHistory:
        return  # raised before anything is written: it stays quarantined, and whoever looks at it meets the damage
    await db.execute(scope.sql("removal", "troubles"), scope.namespace, [run_id])


async def end_unclaimed(db: Connection, scope: Scope, row: RunRow, now: Instant, grace: Microseconds) -> None:
    """Nobody owns it, and its code is not to be run: it ends here, with the records that it would have ended with there."""
    run = (scope.namespace, row.id)
    position, at = await last_place(db, scope, row)
    if position is None or at is None:
        known = await generations(db, scope, row.id)
        position, at = known(row.generation).base_position, row.created_at
    at = max(now, at)
    was_told = await db.fetchval(scope.sql("requests", "cancel_of"), *run) is not None
    rows = [
        history_row(
            "", row.id, row.generation, Record(number, at, new.kind, new.name, input=new.input, output=new.output, error=new.error)
        )[1:]
        for number, new in enumerate(await last_records(db, scope, row, None if was_told else grace), position + 1)
    ]
    await db.execute(scope.sql("checkpoints", "insert_records"), scope.namespace, *columns(rows, 0))
    await db.execute(scope.sql("requests", "end_unclaimed"), *run, at)
    for name in ("forget_attempts", "clear_strikes", "forget_requests"):
        await db.execute(scope.sql("checkpoints", name), *run)


async def last_records(db: Connection, scope: Scope, row: RunRow, grace: Microseconds | None) -> list[NewRecord]:
    """The signals that it has not received, out of its inbox, but for damaged ones; the cancel, unless it was told; its end."""
    found = await db.fetch(scope.sql("requests", "take_signals"), scope.namespace, row.id)
    signals = sorted((tuple(one) for one in found), key=lambda one: (one[0], one[2]))
    records = [NewRecord(RecordKind.SIGNAL, one[3], output=one[4]) for one in signals if is_sound(row.id, one)]
    if grace is not None:
        records.append(cancel_record(grace))
    return [*records, NewRecord(RecordKind.CANCELLED, row.workflow, error=row.error)]


async def last_place(db: Connection, scope: Scope, row: RunRow) -> tuple[int | None, Instant | None]:
    position, at = await db.fetchrow(scope.sql("requests", "last"), scope.namespace, row.id, row.generation) or (None, None)
    return position, at


async def pause(db: Connection, scope: Scope, run_id: str) -> None:
    row = await existing(db, scope, run_id)
    run = (scope.namespace, run_id)
    match row.state:
        case RunState.PAUSED:
            return
        case RunState.QUARANTINED:
            raise NotRetryable(f"run {run_id} is quarantined and does not run until it is resumed; nothing was changed")
        case RunState.PENDING | RunState.WAITING | RunState.RUNNING:
            if await db.fetch(scope.sql("requests", "cancel_of"), *run):
                raise NotRetryable(f"run {run_id} is being cancelled and cannot be paused; nothing was changed")
            if not changed(await db.execute(scope.sql("requests", "pause"), *run)):
                await db.execute(scope.sql("requests", "insert"), *run, PAUSE, await moment(db, scope), None)
                await db.execute(scope.sql("requests", "change"), *run)
        case _:
            raise RunEnded(f"run {run_id} has ended ({row.state}) and cannot be paused; nothing was changed")


async def resume(db: Connection, scope: Scope, run_id: str) -> None:
    row = await existing(db, scope, run_id)
    if row.state.is_final:
        raise RunEnded(f"run {run_id} has ended ({row.state}) and cannot be resumed; nothing was changed")
    run = (scope.namespace, run_id)
    await db.execute(scope.sql("requests", "resume"), *run, await moment(db, scope))
    await db.execute(scope.sql("requests", "delete"), *run, PAUSE)
    await db.execute(scope.sql("requests", "change"), *run)
    await db.execute(scope.sql("checkpoints", "clear_strikes"), *run)


async def wanted(db: Connection, scope: Scope, run_id: str) -> list[str]:
    return [row[0] for row in await db.fetch(scope.sql("requests", "of_run"), scope.namespace, run_id)]


async def existing(db: Connection, scope: Scope, run_id: str) -> RunRow:
    """Locked until the transaction ends."""
    row = await locked(db, scope, run_id)
    if row is None:
        raise RunNotFound(f"there is no run {run_id!r} in namespace {scope.namespace!r}; nothing was changed")
    if row.damage is not None:
        raise CorruptedHistory(f"run {run_id}: {row.damage}; nothing was changed: put its row of table runs right from a backup first")
    return row


async def moment(db: Connection, scope: Scope) -> Instant:
    now: Instant = await db.fetchval(scope.sql("requests", "now"), scope.now())
    return now
