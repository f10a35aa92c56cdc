"""A connection of Python's own sqlite3."""

from collections.abc import Callable
from typing import Any, TypeVar

from perdure.store.callers.kinds import Cursor, SqliteStatements, not_in_a_transaction

T = TypeVar("T")
NAMED = "a connection of sqlite3"


class OfSqlite3:
    is_async = False
    is_pythons = True
    named = NAMED

    def __init__(self, db: Any) -> None:
        """Raises BadInput."""
        if not has_transaction(db):
            raise not_in_a_transaction(NAMED, "execute `begin immediate` first")
        self._db = db

    async def run(self, work: Callable[[SqliteStatements], T]) -> T:
        return work(Statements(self._db))


class Statements:
    """Whatever the connection makes of rows: the cursor used here gives tuples."""

    def __init__(self, db: Any) -> None:
        self._db = db

    def execute(self, statements: str, bindings: Any = (), /) -> Cursor:
        cursor = self._db.cursor()
        cursor.row_factory = None
        executed: Cursor = cursor.execute(statements, bindings)
        return executed

    def total_changes(self) -> int:
        return int(self._db.total_changes)


def has_transaction(db: Any) -> bool:
    """Also where the module begins one by itself before the first statement that writes."""
    if db.in_transaction:
        return True
    autocommit = getattr(db, "autocommit", -1)  # since Python 3.12; -1: as isolation_level says
    return db.isolation_level is not None if autocommit == -1 else not autocommit
