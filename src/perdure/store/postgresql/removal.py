"""Deletes runs that have ended: one by one on demand, or batches of those that ended long ago."""

from collections.abc import Mapping, Sequence

from perdure.clock import Microseconds
from perdure.errors import RunNotEnded
from perdure.model.states import RunState
from perdure.store.postgresql.connections import Connection
from perdure.store.postgresql.requests import existing, moment
from perdure.store.postgresql.scope import Scope

TABLES = ("history", "generations", "outdated", "attempts", "inbox", "requests", "keys", "suspects", "troubles", "run")


async def delete(db: Connection, scope: Scope, run_id: str) -> None:
    row = await existing(db, scope, run_id)
    if not row.state.is_final:
        raise RunNotEnded(f"run {run_id} is {row.state} and only a run that has ended can be deleted; cancel it first")
    await remove(db, scope, [run_id])


async def remove(db: Connection, scope: Scope, run_ids: Sequence[str]) -> None:
    """Every row of them, in every table."""
    for table in TABLES:
        await db.execute(scope.sql("removal", table), scope.namespace, run_ids)


async def has_expired(db: Connection, scope: Scope, keep: Mapping[RunState, Microseconds]) -> bool:
    values = (scope.namespace, [str(state) for state in keep], list(keep.values()), scope.now())
    return bool(await db.fetchval(scope.sql("removal", "has_expired"), *values))


async def purge(db: Connection, scope: Scope, keep: Mapping[RunState, Microseconds], runs_most: int, records_most: int) -> int:
    """How many were deleted. Bounded by runs and by records, but for one run that has more."""
    now = await moment(db, scope)
    chosen: list[str] = []
    records = 0
    for state, length in keep.items():
        assert state.is_final
        values = (scope.namespace, str(state), now - length, runs_most - len(chosen))
        for run_id, count in await db.fetch(scope.sql("removal", "expired"), *values):
            records += count
            if chosen and records > records_most:
                break
            chosen.append(run_id)
    await remove(db, scope, chosen)
    return len(chosen)
