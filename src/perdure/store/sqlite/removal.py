"""Deletes runs that have ended: one by one on demand, or batches of those that ended long ago."""

from collections.abc import Mapping

import apsw

from perdure.clock import Clock, Microseconds
from perdure.errors import RunNotEnded
from perdure.model.states import RunState
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.requests import existing
from perdure.store.sqlite.statements import change, fetch

SQL = named_queries("removal")
TABLES = ("history", "generations", "outdated", "attempts", "inbox", "requests", "keys", "suspects", "troubles", "run")


def delete(db: apsw.Connection, namespace: str, run_id: str) -> None:
    row = existing(db, namespace, run_id)
    if not row.state.is_final:
        raise RunNotEnded(f"run {run_id} is {row.state} and only a run that has ended can be deleted; cancel it first")
    remove(db, namespace, run_id)


def remove(db: apsw.Connection, namespace: str, run_id: str) -> None:
    """Every row of it, in every table."""
    for table in TABLES:
        change(db, SQL[table], (namespace, run_id))


def has_expired(db: apsw.Connection, namespace: str, clock: Clock, keep: Mapping[RunState, Microseconds]) -> bool:
    return any(expired(db, namespace, clock, state, length, limit=1) for state, length in keep.items())


def purge(
    db: apsw.Connection, namespace: str, clock: Clock, keep: Mapping[RunState, Microseconds], runs_most: int, records_most: int
) -> int:
    """How many were deleted. Bounded by runs and by records, but for one run that has more."""
    removed = records = 0
    for state, length in keep.items():
        for run_id in expired(db, namespace, clock, state, length, runs_most - removed):
            records += fetch(db, SQL["records"], (namespace, run_id))[0][0]
            if removed and records > records_most:
                return removed
            remove(db, namespace, run_id)
            removed += 1
    return removed


def expired(db: apsw.Connection, namespace: str, clock: Clock, state: RunState, length: Microseconds, limit: int) -> list[str]:
    assert state.is_final
    return [run_id for (run_id,) in fetch(db, SQL["expired"], (namespace, state, clock.now() - length, limit))]
