"""From the type of a step's first parameter to the connection that it is given."""

import asyncio
from typing import Any

from perdure.store.postgresql.address import Address
from perdure.store.postgresql.step_connections import AsyncpgConnections, StepConnection

GIVEN = (
    "asyncpg.Connection, psycopg.AsyncConnection, sqlalchemy.ext.asyncio.AsyncConnection and AsyncSession to an `async def`, "
    "psycopg.Connection, sqlalchemy.Connection, sqlalchemy.orm.Session and Django's BaseDatabaseWrapper to a plain `def`"
)
KINDS = {
    ("asyncpg", "Connection"),
    ("psycopg", "AsyncConnection"),
    ("psycopg", "Connection"),
    ("sqlalchemy", "AsyncConnection"),
    ("sqlalchemy", "AsyncSession"),
    ("sqlalchemy", "Connection"),
    ("sqlalchemy", "Session"),
    ("django", "BaseDatabaseWrapper"),
}
Kind = tuple[str, str]


def kind_of(asked: type | None) -> Kind:
    """The driver and the name of the class. Raises TypeError for what is no connection of this store."""
    if asked is None:
        return "asyncpg", "Connection"
    for base in asked.__mro__:
        kind = base.__module__.partition(".")[0], base.__name__
        if kind in KINDS:
            return kind
    raise TypeError(
        f"a transactional step asks for {asked.__module__}.{asked.__qualname__}, which PostgreSQL does not give; it gives {GIVEN}"
    )


class Drivers:
    """Opens connections. Those of asyncpg and SQLAlchemy's makers of connections are kept."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._of_asyncpg = AsyncpgConnections(address)
        self._makers: dict[str, Any] = {}

    async def take(self, kind: Kind) -> StepConnection:
        """Raises StoreError."""
        driver, name = kind
        match driver:
            case "psycopg":
                return await self._of_psycopg(is_async=name.startswith("Async"))
            case "sqlalchemy":
                return await self._of_sqlalchemy(is_async=name.startswith("Async"), is_session=name.endswith("Session"))
            case "django":
                from perdure.store.postgresql.drivers.blocking import in_thread
                from perdure.store.postgresql.drivers.of_django import OfDjango

                return await in_thread(OfDjango, self._address.shown)
        return await self._of_asyncpg.take()

    async def _of_psycopg(self, *, is_async: bool) -> StepConnection:
        from perdure.store.postgresql.drivers import of_psycopg
        from perdure.store.postgresql.drivers.blocking import in_thread

        if is_async:
            return await of_psycopg.connect_async(self._address)
        return await in_thread(lambda: of_psycopg.OfPsycopg(of_psycopg.connect(self._address)), self._address.shown)

    async def _of_sqlalchemy(self, *, is_async: bool, is_session: bool) -> StepConnection:
        from perdure.store.postgresql.drivers import of_sqlalchemy
        from perdure.store.postgresql.drivers.blocking import in_thread

        if is_async:
            maker = self._makers.setdefault("async", None) or of_sqlalchemy.async_engine_of(self._address)
            self._makers["async"] = maker
            return await of_sqlalchemy.connect_async(maker, self._address, is_session=is_session)
        maker = self._makers.setdefault("blocking", None) or of_sqlalchemy.engine_of(self._address)
        self._makers["blocking"] = maker
        return await in_thread(lambda: of_sqlalchemy.OfSqlalchemy(maker, is_session=is_session), self._address.shown)

    async def close(self) -> None:
        await self._of_asyncpg.close()
        for maker in self._makers.values():
            closing = maker.dispose()
            if asyncio.iscoroutine(closing):
                await closing
