"""Connections and sessions of SQLAlchemy: those for asyncio stand on asyncpg, those that block on psycopg."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import sqlalchemy
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from perdure.errors import StoreUnavailable
from perdure.store.callers.of_psycopg import in_psycopg
from perdure.store.calls import NotAllowedInTransaction
from perdure.store.postgresql.address import Address
from perdure.store.postgresql.connections import COMMAND_SECONDS, CONNECT_SECONDS, settings_of_session
from perdure.store.postgresql.drivers.translating import Translating
from perdure.store.postgresql.statements import Statements


def engine_of(address: Address) -> sqlalchemy.Engine:
    import psycopg

    from perdure.store.postgresql.drivers.of_psycopg import options_of  # without psycopg there are those for asyncio

    given = options_of(address) | {"autocommit": False}
    return sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(address.dsn, **given), poolclass=sqlalchemy.NullPool
    )


def async_engine_of(address: Address) -> AsyncEngine:
    async def connect() -> Any:
        return await asyncpg.connect(
            address.dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
            server_settings=settings_of_session(address),
            statement_cache_size=0 if address.has_pooler else 100,
        )

    return create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=sqlalchemy.NullPool)


class Guard:
    """While a step has the connection, its transaction is not committed or rolled back. A session's `commit()` ends a savepoint only."""

    def __init__(self, db: sqlalchemy.Connection) -> None:
        self.is_given = False
        event.listen(db, "commit", self._refuse)
        event.listen(db, "rollback", self._refuse)

    def _refuse(self, _db: object) -> None:
        if self.is_given:
            raise NotAllowedInTransaction(
                "a transactional step may not commit or roll back: perdure commits what it wrote together with its record, or undoes both"
            )


class OfSqlalchemy:
    """In a thread of its own."""

    def __init__(self, engine: sqlalchemy.Engine, *, is_session: bool) -> None:
        self._db = engine.connect().execution_options(isolation_level="READ COMMITTED")
        self._guard = Guard(self._db)
        self._session = Session(self._db, join_transaction_mode="create_savepoint") if is_session else None
        self.given: Any = self._session or self._db
        self._driver: Any = self._db.connection.driver_connection

    def begin(self) -> None:
        self._db.begin()
        self._guard.is_given = True

    def fetch(self, statement: str, values: Sequence[Any]) -> Sequence[Any]:
        if self._session is not None:
            self._session.flush()
        result = self._db.exec_driver_sql(*in_psycopg(statement, values))
        return [tuple(row) for row in result.fetchall()] if result.returns_rows else ()

    def commit(self) -> None:
        self._guard.is_given = False
        self._db.commit()

    def close(self) -> None:
        self._guard.is_given = False
        try:
            if self._session is not None:
                self._session.close()
            self._db.close()
        finally:
            self._driver.close()

    def is_lost(self) -> bool:
        return self._db.closed or self._db.invalidated

    def cancel(self) -> None:
        self._driver.cancel_safe(timeout=CONNECT_SECONDS)


class OfAsyncSqlalchemy:
    def __init__(self, db: AsyncConnection, *, is_session: bool) -> None:
        self._db = db
        assert db.sync_connection is not None
        self._guard = Guard(db.sync_connection)
        self._session = AsyncSession(db, join_transaction_mode="create_savepoint") if is_session else None
        self._driver: Any = db.sync_connection.connection.driver_connection
        self._is_open = True
        self._is_closed = False
        self._statements = Translating(self._fetch, lambda: self.is_lost)

    @property
    def statements(self) -> Statements:
        return self._statements

    async def _fetch(self, statement: str, values: Sequence[Any]) -> Sequence[Any]:
        if self._session is not None:
            await self._session.flush()
        result = await self._db.exec_driver_sql(statement, tuple(values))
        return [tuple(row) for row in result.fetchall()] if result.returns_rows else ()

    async def begin(self) -> None:
        _ = await self._db.begin()
        self._guard.is_given = True

    async def call(self, body: Callable[[Any], Any]) -> Any:
        value = body(self._session or self._db)
        if not inspect.isawaitable(value):
            raise TypeError("a transactional step that is given a connection of SQLAlchemy for asyncio is an `async def`")
        return await value

    @property
    def is_lost(self) -> bool:
        return not self._is_open or self._db.closed or self._db.invalidated

    async def commit(self) -> None:
        self._guard.is_given = False
        await self._statements.committed(self._db.commit)

    async def close(self) -> None:
        self._guard.is_given = False
        if self._is_closed:
            return
        self._is_closed = True
        if not self._is_open:
            await self._db.invalidate()
        self._is_open = False
        if self._session is not None:
            await self._session.close()
        await self._db.close()

    def cut(self) -> None:
        self._guard.is_given = False
        if self._is_open:
            self._is_open = False
            self._driver.terminate()


async def connect_async(engine: AsyncEngine, address: Address, *, is_session: bool) -> OfAsyncSqlalchemy:
    try:
        db = await engine.connect()
        _ = await db.execution_options(isolation_level="READ COMMITTED")
    except (OSError, sqlalchemy.exc.SQLAlchemyError, asyncpg.PostgresError) as error:
        raise StoreUnavailable(f"{address.shown}: no connection can be made ({error})") from error
    return OfAsyncSqlalchemy(db, is_session=is_session)
