"""Forgets the histories of generations that a run has left behind, a page at a time."""

from perdure.store.postgresql.connections import Connection
from perdure.store.postgresql.scope import Scope
from perdure.store.postgresql.signals import changed


async def is_there(db: Connection, scope: Scope) -> bool:
    return bool(await db.fetch(scope.sql("outdated", "next"), scope.namespace))


async def forget(db: Connection, scope: Scope, rows: int) -> bool:
    """Of one run at most `rows` records; whether there may be more, of this run or of another."""
    found = await db.fetchrow(scope.sql("outdated", "next"), scope.namespace)
    if found is None:
        return False
    run_id, oldest, generation = found
    run = (scope.namespace, run_id, oldest)
    exists = generation is not None and generation > oldest
    if exists and changed(await db.execute(scope.sql("outdated", "forget_records"), *run, rows)) >= rows:
        return True
    await db.execute(scope.sql("outdated", "forget_generations"), *run)
    await db.execute(scope.sql("outdated", "forgotten"), *run)
    return True
