"""Forgets the histories of generations that a run has left behind, a page at a time."""

import apsw

from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.statements import change, fetch

SQL = named_queries("outdated")


def is_there(db: apsw.Connection, namespace: str) -> bool:
    return bool(fetch(db, SQL["next"], (namespace,)))


def forget(db: apsw.Connection, namespace: str, rows: int) -> bool:
    """Of one run at most `rows` records; whether there may be more, of this run or of another."""
    found = fetch(db, SQL["next"], (namespace,))
    if not found:
        return False
    run_id, oldest, generation = found[0]
    run = (namespace, run_id, oldest)
    if generation is not None and generation > oldest and change(db, SQL["forget_records"], (*run, rows)) >= rows:
        return True
    change(db, SQL["forget_generations"], run)
    change(db, SQL["forgotten"], run)
    return True
