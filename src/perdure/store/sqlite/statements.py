"""One statement at a time: apsw stops a statement at its first row until it is fetched, so all that is wanted is fetched at once."""

from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from itertools import islice
from typing import Any, cast

import apsw

from perdure.store.callers.kinds import SqliteStatements
from perdure.store.sqlite.reading_damage import read_damaged

Row = tuple[Any, ...]
Values = tuple[Any, ...] | Mapping[str, Any]


def fetch(db: SqliteStatements, statement: str, values: Values = ()) -> list[Row]:
    """A text that is no UTF-8 comes as DamagedText: it hides nothing that stands beside it."""
    try:
        rows: list[Row] = db.execute(statement, values).fetchall()
    except UnicodeDecodeError as error:  # of apsw; others say it in their own way
        return list(read_damaged(cast(apsw.Connection, db), statement, values, error))
    return rows


def fetch_page(
    db: apsw.Connection, statement: str, values: Values, rows_most: int, bytes_most: int, *, takes_first: bool = True
) -> tuple[list[Row], bool]:
    """Some rows, and whether more follow. Reads at most one row beyond what `rows_most` and `bytes_most` allow.

    `takes_first`: however large the first row is, it is among them, so that whoever asks gets on.
    """
    page: list[Row] = []
    with closing(rows_of(db, statement, values)) as rows:
        for row in rows:
            bytes_most -= size_of(row)
            if len(page) >= rows_most or (bytes_most < 0 and (page or not takes_first)):
                return page, True
            page.append(row)
    return page, False


def rows_of(db: apsw.Connection, statement: str, values: Values) -> Generator[Row]:
    """One by one, as they are asked for."""
    seen = 0
    try:
        for row in db.execute(statement, values):
            yield row
            seen += 1
    except UnicodeDecodeError as error:
        yield from islice(read_damaged(db, statement, values, error), seen, None)


def size_of(row: Row) -> int:
    """Bytes of its blobs."""
    return sum(len(value) for value in row if type(value) is bytes)


def change(db: SqliteStatements, statement: str, values: Values = ()) -> int:
    """How many rows were changed."""
    before = db.total_changes()
    db.execute(statement, values).fetchall()
    return db.total_changes() - before


def change_each(db: apsw.Connection, statement: str, rows: Iterable[Row]) -> int:
    """How many rows were changed in all."""
    before = db.total_changes()
    db.executemany(statement, rows).fetchall()
    return db.total_changes() - before
