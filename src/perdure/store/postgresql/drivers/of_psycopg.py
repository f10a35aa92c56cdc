"""Connections of psycopg: `psycopg.AsyncConnection` for an `async def`, `psycopg.Connection` for a plain `def`."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from perdure.errors import StoreUnavailable
from perdure.store.callers.of_psycopg import in_psycopg
from perdure.store.postgresql.address import Address
from perdure.store.postgresql.connections import CONNECT_SECONDS, settings_of_session
from perdure.store.postgresql.drivers.translating import Translating
from perdure.store.postgresql.statements import Statements


def options_of(address: Address) -> dict[str, Any]:
    """How to connect, as libpq wants it. Autocommit: a transaction is begun by its own means, which refuse `commit()` in it."""
    settings = settings_of_session(address)
    name = settings.pop("application_name")
    given = " ".join(f"-c {key}={value}" for key, value in settings.items())
    threshold = None if address.has_pooler else 5
    return {
        "application_name": name,
        "options": given or None,
        "connect_timeout": round(CONNECT_SECONDS),
        "autocommit": True,
        "prepare_threshold": threshold,
    }


def connect(address: Address) -> "psycopg.Connection[Any]":
    db = psycopg.connect(address.dsn, **options_of(address))
    db.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    return db


class OfPsycopg:
    """In a thread of its own."""

    def __init__(self, db: "psycopg.Connection[Any]") -> None:
        self.given = db
        self._transaction = db.transaction()

    def begin(self) -> None:
        self._transaction.__enter__()

    def fetch(self, statement: str, values: Sequence[Any]) -> Sequence[Any]:
        text, named = in_psycopg(statement, values)
        cursor = self.given.cursor(row_factory=tuple_row)
        cursor.execute(text, named)
        return cursor.fetchall() if cursor.description else ()

    def commit(self) -> None:
        self._transaction.__exit__(None, None, None)

    def close(self) -> None:
        self.given.close()

    def is_lost(self) -> bool:
        return bool(self.given.closed)

    def cancel(self) -> None:
        self.given.cancel_safe(timeout=CONNECT_SECONDS)


class OfAsyncPsycopg:
    def __init__(self, db: "psycopg.AsyncConnection[Any]") -> None:
        self._db = db
        self._transaction = db.transaction()
        self._is_open = True
        self._statements = Translating(self._fetch, lambda: self.is_lost)

    @property
    def statements(self) -> Statements:
        return self._statements

    async def _fetch(self, statement: str, values: Sequence[Any]) -> Sequence[Any]:
        text, named = in_psycopg(statement, values)
        cursor = self._db.cursor(row_factory=tuple_row)
        await cursor.execute(text, named)
        return await cursor.fetchall() if cursor.description else ()

    async def begin(self) -> None:
        await self._statements.translated(self._transaction.__aenter__)

    async def call(self, body: Callable[[Any], Any]) -> Any:
        value = body(self._db)
        if not inspect.isawaitable(value):
            raise TypeError("a transactional step that is given psycopg.AsyncConnection is an `async def`")
        return await value

    @property
    def is_lost(self) -> bool:
        return not self._is_open or bool(self._db.closed)

    async def commit(self) -> None:
        await self._statements.committed(lambda: self._transaction.__aexit__(None, None, None))

    async def close(self) -> None:
        if self._is_open:
            self._is_open = False
            await self._db.close()

    def cut(self) -> None:
        if self._is_open:
            self._is_open = False
            self._db.pgconn.finish()


async def connect_async(address: Address) -> OfAsyncPsycopg:
    try:
        db = await psycopg.AsyncConnection.connect(address.dsn, **options_of(address))
    except psycopg.Error as error:
        raise StoreUnavailable(f"{address.shown}: no connection can be made ({error})") from error
    await db.set_isolation_level(psycopg.IsolationLevel.READ_COMMITTED)
    return OfAsyncPsycopg(db)
