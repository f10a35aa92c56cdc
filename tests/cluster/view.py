"""What stands in a store on PostgreSQL, read past the product, in the form in which the crash tests read one on SQLite."""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg

from tests.crash.store_view import StoreView
from tests.server import in_postgresql
from tests.waiting import wait_until

NOT_NOW = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.CannotConnectNowError, asyncpg.AdminShutdownError)
NO_STORE = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError, asyncpg.InFailedSQLTransactionError)


class PostgresqlView(StoreView):
    """`address` reaches the server itself, past every proxy and pooler. A lost connection is made anew."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._url, _, schema = re.split("([?&]schema=|$)", address, maxsplit=1)
        self._settings = {"search_path": schema or "perdure", "application_name": "view"}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="view", daemon=True)
        self._thread.start()
        self._connection: Any = None

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Waits for a server that is away. Nothing where there is no store yet."""
        return wait_until(lambda: self._found(sql, values), "the server answers")[0]

    def _found(self, sql: str, values: tuple[Any, ...]) -> list[list[tuple[Any, ...]]]:
        try:
            return [asyncio.run_coroutine_threadsafe(self._rows(in_postgresql(sql), values), self._loop).result(60)]
        except NO_STORE:
            return [[]]
        except NOT_NOW:
            return []

    async def _rows(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self._url, server_settings=self._settings)
        return [tuple(row) for row in await self._connection.fetch(sql, *values)]

    def close(self) -> None:
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._leave(), self._loop).result(60)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _leave(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            await asyncio.sleep(0)

    def is_writable(self) -> bool:
        """Whether no worker has a transaction open at this moment."""
        sql = "select 1 from pg_stat_activity where application_name = 'perdure' and xact_start is not null"
        return not self.rows(sql)

    def integrity(self) -> str:
        """PostgreSQL checks its pages by itself."""
        return "ok"

    def poisoned(self) -> list[str]:
        sql = "select id from runs where state = 'quarantined' and convert_from(error, 'UTF8') like '%PoisonedRun%'"
        return [run_id for (run_id,) in self.rows(sql)]

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        self.rows("begin isolation level repeatable read read only")
        try:
            yield
        finally:
            self.rows("commit")
