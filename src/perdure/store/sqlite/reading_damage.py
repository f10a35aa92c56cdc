"""Reads rows with texts that are no UTF-8 any more: apsw raises at the first of them and gives nothing of the rows around it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import apsw

from perdure.store.damaged_text import decoded

_READS = re.compile(r"(\s|--[^\n]*\n)*(select|with)\b", re.IGNORECASE)


def read_damaged(
    db: apsw.Connection, statement: str, values: tuple[Any, ...] | Mapping[str, Any], error: UnicodeDecodeError
) -> Iterator[tuple[Any, ...]]:
    """The rows of a statement that only reads, with every text taken as its bytes first. Raises the error for any other statement."""
    if not _READS.match(statement):
        raise error
    columns = [f"c{number}" for number in range(width_of(db, statement, values))]
    bytewise = ", ".join(f"typeof({one}), iif(typeof({one}) = 'text', cast({one} as blob), {one})" for one in columns)
    # Of its own text nothing but column names and statements of this package comes in.
    found = db.execute(f"with found ({', '.join(columns)}) as (\n{statement}\n) select {bytewise} from found", values)  # noqa: S608 - the statement is one of this package
    for row in found:
        yield tuple(decoded(value) if kind == "text" else value for kind, value in zip(row[::2], row[1::2], strict=True))


def width_of(db: apsw.Connection, statement: str, values: tuple[Any, ...] | Mapping[str, Any]) -> int:
    cursor = db.execute(statement, values)
    width = len(cursor.get_description())
    cursor.close()
    return width
