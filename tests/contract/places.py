"""The stores that the contract holds for: how to make one, reach it a second time, break its commits and damage its bytes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import apsw
from asyncpg.exceptions import SerializationError

from perdure.clock import Clock
from perdure.settings import DEFAULTS
from perdure.store.postgresql.address import address_of
from perdure.store.postgresql.connections import Committing, commit_as_asked
from perdure.store.postgresql.store import PostgresqlStore
from perdure.store.protocol import Store
from perdure.store.sqlite.database import Database
from perdure.store.sqlite.runner import Runner
from perdure.store.sqlite.statements import fetch
from perdure.store.sqlite.store import SqliteStore
from perdure.store.sqlite.threads import ThreadRunner
from perdure.store.sqlite.transactions import commit_transaction
from tests.server import ask, in_postgresql, new_address

T = TypeVar("T")

Fault = Callable[[Callable[[], None]], None]
"""Is given the real commit, to call or not, and raises what it likes."""


class Place(Protocol):
    """Where stores are made that all see the same data. A place for another database needs these and no more."""

    refuses_nul: bool
    """Whether text cannot hold the character of number 0."""

    async def open(self, namespace: str = "default", **limits: Any) -> Store:
        """A store on this place, created where it is missing. `limits` are settings."""

    async def open_with_fault(self) -> tuple[Store, "Faults"]: ...

    def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Past the store, as a broken disk or a curious administrator would."""

    async def ids_in_inboxes(self, store: Store) -> list[str]: ...

    async def close(self) -> None: ...


class Faults:
    """Set `next` to have the next commit go wrong."""

    def __init__(self) -> None:
        self.next: Fault | None = None

    def commit(self, real: Callable[[], None]) -> None:
        fault, self.next = self.next, None
        if fault is None:
            real()
        else:
            fault(real)


def lose_the_reply(real: Callable[[], None]) -> None:
    real()
    raise apsw.IOError("the reply was lost")


def lose_the_request(real: Callable[[], None]) -> None:
    raise apsw.IOError("the request was lost")


class SqlitePlace:
    refuses_nul = False

    def __init__(self, path: str, clock: Clock) -> None:
        self.path = path
        self.clock = clock
        self._stores: list[Store] = []

    async def open(self, namespace: str = "default", runner: Runner | None = None, **limits: Any) -> Store:
        settings = replace(DEFAULTS, **limits)
        store = SqliteStore(self.path, namespace=namespace, clock=self.clock, python="3.11", runner=runner, settings=settings)
        await store.open(create=True, migrate=True)
        self._stores.append(store)
        return store

    async def open_with_fault(self) -> tuple[Store, Faults]:
        faults = Faults()
        runner = ThreadRunner(Database(self.path), lambda db: faults.commit(lambda: commit_transaction(db)))
        await runner.open(create=True)
        return await self.open(runner=runner), faults

    def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with apsw.Connection(self.path) as db:
            rows = db.execute(statement, values).fetchall()
        db.close()
        return rows

    async def ids_in_inboxes(self, store: Store) -> list[str]:
        assert isinstance(store, SqliteStore)
        return [row[0] for row in await store.runner.read(lambda db: fetch(db, "select id from inbox"))]

    async def close(self) -> None:
        async with asyncio.timeout(30):
            for store in self._stores:
                await store.close()


class PostgresqlPlace:
    """A schema of its own in the database of this worker process."""

    refuses_nul = True

    def __init__(self, address: str, clock: Clock) -> None:
        self.address = address
        self.clock = clock
        self._stores: list[Store] = []

    @property
    def url(self) -> str:
        return self.address

    async def open(self, namespace: str = "default", commit: Committing = commit_as_asked, **limits: Any) -> Store:
        settings = replace(DEFAULTS, **limits)
        store = PostgresqlStore(
            address_of(self.url), namespace=namespace, clock=self.clock, commit=commit, python="3.11", settings=settings
        )
        await store.open(create=True, migrate=True)
        self._stores.append(store)
        return store

    async def open_with_fault(self) -> tuple[Store, Faults]:
        faults = Faults()

        async def commit(real: Callable[[], Awaitable[T]]) -> T:
            fault, faults.next = faults.next, None
            if fault is lose_the_request:
                raise ConnectionResetError("the request was lost")
            done = await real()
            if fault is lose_the_reply:
                raise ConnectionResetError("the reply was lost")
            return done

        return await self.open(commit=commit), faults

    def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return ask(self.address, in_postgresql(statement), *values)

    async def ids_in_inboxes(self, store: Store) -> list[str]:
        return [row[0] for row in self.execute("select id from inbox")]

    async def close(self) -> None:
        async with asyncio.timeout(30):
            for store in self._stores:
                await store.close()


class PortablePlace(PostgresqlPlace):
    """The same as one uses a database that only speaks PostgreSQL's protocol. Now and then it asks for a transaction to be begun anew."""

    EVERY = 4

    def __init__(self, address: str, clock: Clock) -> None:
        super().__init__(address, clock)
        self._commits = 0

    @property
    def url(self) -> str:
        return f"{self.address}&profile=portable"

    async def open(self, namespace: str = "default", **options: Any) -> Store:
        inner = options.pop("commit", commit_as_asked)

        async def commit(real: Callable[[], Awaitable[T]]) -> T:
            self._commits += 1
            if self._commits % self.EVERY == 0:
                raise SerializationError("begin anew, says the test")
            return await inner(real)

        return await super().open(namespace, commit=commit, **options)


@dataclass(frozen=True)
class Kind:
    """One kind of store. Several stores, also of several processes, can be open on a shared one."""

    make: Callable[[Path, Clock], Place]
    is_shared: bool


KINDS = {
    "postgresql": Kind(lambda _, clock: PostgresqlPlace(new_address(), clock), is_shared=True),
    "portable": Kind(lambda _, clock: PortablePlace(new_address(), clock), is_shared=True),
    "sqlite-file": Kind(lambda folder, clock: SqlitePlace(str(folder / "store.db"), clock), is_shared=True),
    "sqlite-memory": Kind(lambda folder, clock: SqlitePlace(":memory:", clock), is_shared=False),
}
"""One more database is one more line here."""
