"""Connections of asyncpg for transactional steps: they refuse what would end the transaction that a step is given."""

import asyncio
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

import asyncpg

from perdure.store.calls import NotAllowedInTransaction
from perdure.store.postgresql.address import Address
from perdure.store.postgresql.connections import COMMAND_SECONDS, CONNECT_SECONDS, pause, settings_of_session
from perdure.store.postgresql.failures import refusal_of
from perdure.store.postgresql.statements import Statements

STEP_CONNECTIONS_MOST = 8  # transactional steps of one process that have a transaction open at once; the others wait
IDLE_SECONDS_MOST = 60.0  # a connection that no step has asked for is closed then

_COMMENTS = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_NOT_ALLOWED = re.compile(
    _COMMENTS + r"(begin|start\s+transaction|commit|end|abort|prepare\s+transaction|rollback(?!(?:\s+(?:work|transaction))?\s+to))\b",
    re.IGNORECASE | re.DOTALL,
)


def refuse_control(statement: str) -> None:
    """Raises NotAllowedInTransaction for what would end a transaction, or begin one."""
    found = _NOT_ALLOWED.match(statement)
    if found is not None:
        raise NotAllowedInTransaction(
            f"a transactional step may not say {found[1].upper()}: perdure commits what it wrote together with its record, or undoes both"
        )


class StepConnection(Protocol):
    """One connection. Its methods are called one after the other; after `close` or `cut` none is."""

    @property
    def statements(self) -> Statements: ...

    async def begin(self) -> None: ...
    async def call(self, body: Callable[[Any], Any]) -> Any:
        """Where this connection may be used, with what a step is given of it."""

    @property
    def is_lost(self) -> bool: ...
    async def commit(self) -> None: ...
    async def close(self) -> None:
        """What is open is rolled back."""

    def cut(self) -> None:
        """Close without a word: the server rolls back what is open."""


if TYPE_CHECKING:
    _Base = asyncpg.Connection[asyncpg.Record]
else:
    _Base = asyncpg.Connection  # takes no parameters but in its stubs


class GuardedConnection(_Base):
    """While a step has it, no statement may end the transaction. Savepoints (`async with db.transaction()`) are the step's own."""

    __slots__ = ("_is_given",)

    def give(self, is_given: bool) -> None:
        self._is_given = is_given

    def _check(self, query: str) -> None:
        if getattr(self, "_is_given", False):
            refuse_control(query)

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        self._check(query)
        return await super().execute(query, *args, timeout=timeout)

    async def executemany(self, command: str, args: Iterable[Sequence[Any]], *, timeout: float | None = None) -> None:
        self._check(command)
        await super().executemany(command, args, timeout=timeout)

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        self._check(query)
        return await super().fetch(query, *args, **options)

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        self._check(query)
        return await super().fetchrow(query, *args, **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        self._check(query)
        return await super().fetchval(query, *args, **options)

    async def prepare(self, query: str, **options: Any) -> Any:
        self._check(query)
        return await super().prepare(query, **options)


class OfAsyncpg:
    """One connection of a pool."""

    def __init__(self, pool: "Pool", db: "Lent") -> None:
        self._pool = pool
        self._db = db
        self._transaction = db.transaction(isolation="read_committed")
        self._is_open = True

    @property
    def statements(self) -> Statements:
        return self._db

    async def begin(self) -> None:
        await self._transaction.start()  # its own way of beginning, so that a step's `db.transaction()` is a savepoint

    async def call(self, body: Callable[[Any], Any]) -> Any:
        value = body(self._db)
        if not inspect.isawaitable(value):
            raise TypeError("a transactional step that is given a connection of asyncpg is an `async def`")
        give = cast(GuardedConnection, self._db).give  # of the connection itself: what the pool lends is empty once that is lost
        give(True)
        try:
            return await value
        finally:
            give(False)

    @property
    def is_lost(self) -> bool:
        try:
            return not self._is_open or self._db.is_closed()
        except asyncpg.InterfaceError:  # the pool has taken it away already
            return True

    async def commit(self) -> None:
        await self._transaction.commit()

    async def close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        try:
            await self._pool.release(self._db, timeout=CONNECT_SECONDS)  # rolls back what is open
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            pass  # it was lost, or cannot be made as new: the pool has closed it

    def cut(self) -> None:
        if self._is_open:
            self._is_open = False
            self._db.terminate()  # with it the pool has its place back


if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Pool = asyncpg.Pool[asyncpg.Record]
    Lent = PoolConnectionProxy[asyncpg.Record]
else:
    Pool = asyncpg.Pool


class AsyncpgConnections:
    """Kept for the next step, as new: asyncpg resets what a step has set."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._pool: Pool | None = None
        self._opening = asyncio.Lock()

    async def take(self) -> StepConnection:
        try:
            pool = await self._opened()
            db = await pool.acquire()
        except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise refusal_of(error, self._address.shown) from error
        return OfAsyncpg(pool, db)

    async def _opened(self) -> Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await self._new_pool()
            return self._pool

    async def _new_pool(self) -> Pool:
        return await asyncpg.create_pool(
            self._address.dsn,
            min_size=0,
            max_size=STEP_CONNECTIONS_MOST,
            connection_class=GuardedConnection,
            max_inactive_connection_lifetime=IDLE_SECONDS_MOST,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
            server_settings=settings_of_session(self._address),
            statement_cache_size=0 if self._address.has_pooler else 100,
        )

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await pool.close()
        except TimeoutError:  # some step holds on to its connection: what it has open is undone
            pool.terminate()
        await pause(0)  # sockets are closed in the next round of the loop, which may be the last
