"""A connection or a session of SQLAlchemy, for threads or for asyncio, on PostgreSQL or on SQLite."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from perdure.errors import BadInput
from perdure.store.callers.kinds import Cursor, Row, SqliteStatements, not_in_a_transaction
from perdure.store.callers.of_psycopg import in_psycopg
from perdure.store.callers.of_sqlite3 import has_transaction

T = TypeVar("T")
OF_POSTGRESQL = {"psycopg", "psycopg_async", "asyncpg"}
OF_SQLITE = {"pysqlite", "aiosqlite"}


def of_sqlalchemy(given: Any, kind: str) -> "OnPostgresql | OnSqlite":
    """`kind`: the name of its class. Raises BadInput."""
    is_async = kind.startswith("Async")
    bind = given.get_bind() if kind.endswith("Session") else given
    driver = bind.dialect.driver
    if driver in OF_POSTGRESQL:
        return OnPostgresql(given, kind, is_async=is_async, is_numbered=driver == "asyncpg")
    if driver in OF_SQLITE:
        return OnSqlite(given, kind, is_async=is_async)
    raise BadInput(
        f"transaction= was given SQLAlchemy on {bind.dialect.name} with {driver}; it takes part on PostgreSQL with psycopg or asyncpg, "
        "and on SQLite with pysqlite or aiosqlite"
    )


class OnPostgresql:
    """Statements go through SQLAlchemy, which begins the transaction with the first of them where the caller has not."""

    def __init__(self, given: Any, kind: str, *, is_async: bool, is_numbered: bool) -> None:
        self.is_async = is_async
        self.named = f"SQLAlchemy's {kind}"
        self._given = given
        self._is_session = kind.endswith("Session")
        self._is_numbered = is_numbered

    async def fetch(self, statement: str, values: Sequence[Any]) -> Sequence[Row]:
        text, bound = (statement, tuple(values)) if self._is_numbered else in_psycopg(statement, values)
        if self.is_async:
            connection = await self._given.connection() if self._is_session else self._given
            result = await connection.exec_driver_sql(text, bound)
        else:
            connection = self._given.connection() if self._is_session else self._given
            result = connection.exec_driver_sql(text, bound)
        return [tuple(row) for row in result.fetchall()]


class OnSqlite:
    is_pythons = True

    def __init__(self, given: Any, kind: str, *, is_async: bool) -> None:
        self.is_async = is_async
        self.named = f"SQLAlchemy's {kind}"
        self._given = given
        self._is_session = kind.endswith("Session")

    async def run(self, work: Callable[[SqliteStatements], T]) -> T:
        if self.is_async:
            connection = await self._given.connection() if self._is_session else self._given
            done: T = await connection.run_sync(self._within, work)
            return done
        return self._within(self._given.connection() if self._is_session else self._given, work)

    def _within(self, connection: Any, work: Callable[[SqliteStatements], T]) -> T:
        connection.exec_driver_sql("select 1")  # with its first statement SQLAlchemy knows that it has a transaction
        if not has_transaction(connection.connection.driver_connection):
            raise not_in_a_transaction(self.named, "use another isolation level than AUTOCOMMIT")
        return work(Statements(connection))


class Statements:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, statements: str, bindings: Any = (), /) -> Cursor:
        return Result(self._connection.exec_driver_sql(statements, tuple(bindings)))

    def total_changes(self) -> int:
        return int(self._connection.exec_driver_sql("select total_changes()").scalar())


class Result:
    """A statement that gives no rows has none to fetch."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def fetchall(self) -> list[Row]:
        return [tuple(row) for row in self._result.fetchall()] if self._result.returns_rows else []
