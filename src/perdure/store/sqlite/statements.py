"""One statement at a time: apsw stops a statement at its first row until it is fetched, so everything is fetched at once."""

from collections.abc import Iterable, Mapping
from typing import Any

import apsw

Row = tuple[Any, ...]
Values = tuple[Any, ...] | Mapping[str, Any]


def fetch(db: apsw.Connection, statement: str, values: Values = ()) -> list[Row]:
    return db.execute(statement, values).fetchall()


def change(db: apsw.Connection, statement: str, values: Values = ()) -> int:
    """How many rows were changed."""
    before = db.total_changes()
    db.execute(statement, values).fetchall()
    return db.total_changes() - before


def change_each(db: apsw.Connection, statement: str, rows: Iterable[Row]) -> int:
    """How many rows were changed in all."""
    before = db.total_changes()
    db.executemany(statement, rows).fetchall()
    return db.total_changes() - before
