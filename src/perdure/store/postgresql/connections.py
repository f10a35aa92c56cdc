"""The connections of one store: opened when they are needed, kept for the next use, thrown away after any doubt."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

import asyncpg

from perdure.errors import StoreError, StoreUnavailable
from perdure.store.postgresql.address import Address
from perdure.store.postgresql.dead_hosts import LETS_GO_OF_THE_DEAD, give_up_dead_hosts
from perdure.store.postgresql.failures import BEGINS_ANEW, is_lost, meaning_of, refusal_of, said
from perdure.store.postgresql.hosts import first_to_accept
from perdure.store.postgresql.portable import PortableConnection
from perdure.store.protocol import UnknownOutcome

T = TypeVar("T")

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # takes no parameters but in its stubs

Function = Callable[[Connection], Awaitable[T]]
"""May be run again after a rollback, so it changes nothing but the database."""


class Committing(Protocol):
    """Does what it is given, which commits a transaction."""

    async def __call__(self, real: Callable[[], Awaitable[T]]) -> T: ...


CONNECTIONS_MOST = 8
CONNECT_SECONDS = 5.0
COMMAND_SECONDS = 8.0  # below a lease: who waits longer has lost it
LOCK_SECONDS = 4.0
IDLE_SECONDS = 8.0  # in a transaction: a worker that stopped in the middle of one keeps nobody waiting longer
RIDE_OUT_SECONDS = 4.0  # how long a server that has gone away is waited for before whoever asked is told
PAUSE_SECONDS = 0.1
GIVE_WAY_SECONDS = 0.002  # before the second of these tries
GIVE_WAY_SECONDS_MOST = 0.2
TRIES = 10  # of what the database asked to begin anew
PLAN_SECONDS = 60  # a plan that was made while tables were small is not kept for ever
PLANS = {"enable_seqscan": "off", "random_page_cost": "1.1", "plan_cache_mode": "force_generic_plan"}
"""What is looked for has an index. So plans need no statistics, which a table that has just been filled has not, nor have they to be made
anew for the length of each array."""
BEGIN = "begin isolation level read committed"


async def pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def commit_as_asked(real: Callable[[], Awaitable[T]]) -> T:
    return await real()


def settings_of_session(address: Address) -> dict[str, str]:
    """Also of connections on which steps run statements of their own."""
    settings = {"application_name": "perdure"}
    if address.is_portable:
        settings["default_transaction_isolation"] = "serializable"  # as some of these databases have it and nothing else
    elif not address.has_pooler:
        settings |= {
            "jit": "off",
            "lock_timeout": f"{LOCK_SECONDS * 1000:.0f}",
            "statement_timeout": f"{COMMAND_SECONDS * 1000:.0f}",
            "idle_in_transaction_session_timeout": f"{IDLE_SECONDS * 1000:.0f}",
            **LETS_GO_OF_THE_DEAD,
        }
    return settings


async def connect(address: Address) -> Connection:
    """Raises StoreError that names the setting to correct."""
    return await first_to_accept([partial(connect_to, address, dsn) for dsn in address.dsns], lambda db: db.terminate())


async def connect_to(address: Address, dsn: str) -> Connection:
    plans = {} if address.is_portable or address.has_pooler else PLANS
    try:
        db = await asyncpg.connect(
            dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
            server_settings=settings_of_session(address) | plans,
            connection_class=PortableConnection if address.is_portable else asyncpg.Connection,
            statement_cache_size=0 if address.has_pooler else 200,
            max_cached_statement_lifetime=PLAN_SECONDS,
        )
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise refusal_of(error, address.shown) from error
    give_up_dead_hosts(db)
    return db


class Connections:
    """Bound to the event loop and the process that it is made in. `commit` is a parameter so that faults can be put there."""

    def __init__(self, address: Address, *, most: int = CONNECTIONS_MOST, commit: Committing = commit_as_asked) -> None:
        self.address = address
        self._commit = commit
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._idle: list[Connection] = []
        self._room = asyncio.Semaphore(most)
        self._in_use = 0
        self._drained: asyncio.Future[None] | None = None
        self._was_there = False
        self._is_closed = False
        self._pace = 1 + (id(self) >> 4) % 97 / 97

    async def read(self, function: Function[T]) -> T:
        """Each statement sees one moment. A server that goes away is waited for a little: asking again does no harm."""
        until = self._loop.time() + RIDE_OUT_SECONDS
        tries_left = TRIES
        while True:
            try:
                async with self._use() as db:
                    return await function(db)
            except BEGINS_ANEW as error:
                tries_left -= 1
                if not tries_left:
                    raise meaning_of(error, self.address.shown) from error
                await self._give_way(tries_left)
            except Exception as error:
                if not is_lost(error) or self._loop.time() > until:
                    raise meaning_of(error, self.address.shown) from error
                await pause(PAUSE_SECONDS)

    async def write(self, function: Function[T]) -> T:
        """One statement that writes, which is a transaction of its own. Raises UnknownOutcome where its answer is lost."""
        for tries_left in reversed(range(TRIES)):
            try:
                async with self._use() as db:
                    return await self.committed(partial(function, db))
            except BEGINS_ANEW as error:
                if not tries_left:
                    raise meaning_of(error, self.address.shown) from error
                await self._give_way(tries_left)
            except Exception as error:
                raise meaning_of(error, self.address.shown) from error
        raise AssertionError

    async def transact(self, function: Function[T]) -> T:
        """All statements of the function, or none. Raises UnknownOutcome where the answer to COMMIT is lost."""
        for tries_left in reversed(range(TRIES)):
            try:
                return await self._transact(function)
            except BEGINS_ANEW as error:
                if not tries_left:
                    raise meaning_of(error, self.address.shown) from error
                await self._give_way(tries_left)
            except Exception as error:
                raise meaning_of(error, self.address.shown) from error
        raise AssertionError

    async def _give_way(self, tries_left: int) -> None:
        """Longer each time, and each for a time of its own: else those who were in each other's way are so again."""
        await pause(min(GIVE_WAY_SECONDS * 2 ** (TRIES - tries_left - 1), GIVE_WAY_SECONDS_MOST) * self._pace)

    async def _transact(self, function: Function[T]) -> T:
        async with self._use() as db:
            await db.execute("begin" if self.address.is_portable else BEGIN)
            try:
                value = await function(db)
            except Exception as error:
                if not is_lost(error):
                    await db.execute("rollback")
                raise
            await self.committed(partial(db.execute, "commit"))
            return value

    async def committed(self, real: Callable[[], Awaitable[T]]) -> T:
        """Of what it is given, which commits a transaction. Raises UnknownOutcome where the answer is lost."""
        try:
            return await self._commit(real)
        except Exception as error:
            if is_lost(error):
                raise UnknownOutcome(
                    f"{self.address.shown}: the answer to COMMIT was lost ({said(error)}); it may or may not be written"
                ) from error
            raise

    # ── one connection ───────────────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def _use(self) -> AsyncIterator[Connection]:
        self.refuse_misuse()
        await self._room.acquire()
        self._in_use += 1
        db: Connection | None = None
        is_sound = False
        try:
            db = await self._free()
            yield db
            is_sound = True
        except asyncpg.PostgresError as error:
            is_sound = not is_lost(error)
            raise
        except asyncio.CancelledError:
            raise
        except Exception as error:
            is_sound = not is_lost(error) and not isinstance(error, UnknownOutcome)
            raise
        finally:
            self._give_back(db, is_sound)

    async def _free(self) -> Connection:
        while self._idle:
            db = self._idle.pop()
            if not db.is_closed():
                return db
        return await self._new()

    async def _new(self) -> Connection:
        """A server that was there may be restarting: it is waited for a little. Where none ever was, the address is wrong."""
        until = self._loop.time() + RIDE_OUT_SECONDS
        while True:
            try:
                db = await connect(self.address)
            except StoreUnavailable:
                if not self._was_there or self._is_closed or self._loop.time() > until:
                    raise
            else:
                self._was_there = True
                return db
            await pause(PAUSE_SECONDS)

    def _give_back(self, db: Connection | None, is_sound: bool) -> None:
        self._in_use -= 1
        self._room.release()
        if db is not None and is_sound and not db.is_closed() and not db.is_in_transaction():
            self._idle.append(db)
        elif db is not None:
            db.terminate()  # at once: else the driver asks the server to cancel, and a COMMIT that waits for a standby counts as done
            self._forget_idle()
        if self._drained is not None and not self._in_use and not self._drained.done():
            self._drained.set_result(None)

    def _forget_idle(self) -> None:
        """Where one connection was lost the others may be as dead, and each would be waited for as long."""
        for db in self._idle:
            db.terminate()
        self._idle.clear()

    async def close(self) -> None:
        """Idempotent; waits for what was asked before."""
        if self.is_foreign or self._is_closed:
            return
        self._is_closed = True
        if self._in_use:
            self._drained = self._loop.create_future()
            await self._drained
        for db in self._idle:
            try:
                await db.close(timeout=CONNECT_SECONDS)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # it was lost already
                db.terminate()
        self._idle.clear()
        await asyncio.sleep(0)  # sockets are closed in the next round of the loop, which may be the last

    @property
    def is_foreign(self) -> bool:
        """They belong to the process that this one was forked from."""
        return self._process != os.getpid()

    def refuse_misuse(self) -> None:
        """Raises StoreError."""
        if self.is_foreign:
            raise StoreError("this process was forked after the store had been opened; open a new Engine or Client after the fork")
        if self._is_closed:
            raise StoreError("the store is closed")
        if asyncio.get_running_loop() is not self._loop:
            raise StoreError("the store was opened on another event loop; open an Engine or a Client on this one")
