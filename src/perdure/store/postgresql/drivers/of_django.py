"""`django.db.connection` for a plain `def` that uses Django's models: they take part, for it is the connection that they use."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from asyncpg import exceptions

from perdure.errors import StoreError
from perdure.store.callers.of_psycopg import in_psycopg
from perdure.store.postgresql.connections import CONNECT_SECONDS


class OfDjango:
    """In a thread of its own, which Django gives a connection of its own."""

    def __init__(self) -> None:
        database: Any = import_module("django.db")  # without types
        transactions: Any = import_module("django.db.transaction")
        self.given = database.connections[database.DEFAULT_DB_ALIAS]
        if self.given.vendor != "postgresql":
            raise StoreError(f"Django's default database is {self.given.display_name}, not the store's")
        self.given.ensure_connection()
        self._atomic = transactions.atomic(durable=True)

    def begin(self) -> None:
        self._atomic.__enter__()

    def fetch(self, statement: str, values: Sequence[Any]) -> Sequence[Any]:
        from psycopg.rows import tuple_row

        if self.given.needs_rollback:  # at its end it would be rolled back without a word
            raise exceptions.InFailedSQLTransactionError("a block of atomic() in the step has failed, and the step went on")
        text, named = in_psycopg(statement, values)
        cursor = self.given.connection.cursor(row_factory=tuple_row)
        cursor.execute(text, named)
        return cursor.fetchall() if cursor.description else ()

    def commit(self) -> None:
        self._atomic.__exit__(None, None, None)

    def close(self) -> None:
        if self.given.in_atomic_block:
            self.given.needs_rollback = True
            self._atomic.__exit__(None, None, None)
        self.given.close()

    def is_lost(self) -> bool:
        driver = self.given.connection
        return driver is not None and bool(driver.closed)

    def cancel(self) -> None:
        self.given.connection.cancel_safe(timeout=CONNECT_SECONDS)
