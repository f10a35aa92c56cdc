"""Reads the generations of a run."""

from collections.abc import Callable

from perdure.store.generations import Generation, checked_generation
from perdure.store.postgresql.connections import Connection
from perdure.store.postgresql.scope import Scope


async def generations(db: Connection, scope: Scope, run_id: str) -> Callable[[int], Generation]:
    """By number. What is returned raises CorruptedHistory where one is not what was written."""
    rows = await db.fetch(scope.sql("generations", "generations"), scope.namespace, run_id)
    known = {row[0]: tuple(row)[1:] for row in rows}
    return lambda number: checked_generation(run_id, number, known.get(number))
