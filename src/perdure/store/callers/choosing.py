"""From what a caller gives as `transaction=` to how statements reach it. Loads no driver: whoever brings a connection has loaded it."""

from typing import Any

from perdure.errors import BadInput
from perdure.store.callers.kinds import Caller

TAKEN = (
    "a connection of asyncpg, psycopg, sqlite3 or apsw, a connection or session of SQLAlchemy, or django.db.connection, "
    "with the transaction open that the call is to be part of"
)


def caller_of(given: Any) -> Caller:
    """Raises BadInput for what is no connection, or has no transaction to take part in."""
    for base in type(given).__mro__:
        match base.__module__.partition(".")[0], base.__name__:
            case "asyncpg", "Connection" | "PoolConnectionProxy":
                from perdure.store.callers.of_asyncpg import OfAsyncpg

                return OfAsyncpg(given)
            case "psycopg", "Connection" | "AsyncConnection":
                from perdure.store.callers.of_psycopg import OfPsycopg

                return OfPsycopg(given, is_async=base.__name__ == "AsyncConnection")
            case "sqlite3", "Connection":
                from perdure.store.callers.of_sqlite3 import OfSqlite3

                return OfSqlite3(given)
            case "apsw", "Connection":
                from perdure.store.callers.of_apsw import OfApsw

                return OfApsw(given)
            case "sqlalchemy", "scoped_session" | "async_scoped_session":
                return caller_of(given())
            case "sqlalchemy", "Connection" | "AsyncConnection" | "Session" | "AsyncSession":
                from perdure.store.callers.of_sqlalchemy import of_sqlalchemy

                return of_sqlalchemy(given, base.__name__)
            case "django", "BaseDatabaseWrapper" | "ConnectionProxy":
                from perdure.store.callers.of_django import of_django

                return of_django(given)
    raise BadInput(f"transaction= was given {type(given).__module__}.{type(given).__qualname__}, which is none of these: {TAKEN}")
