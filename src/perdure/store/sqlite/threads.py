"""Runs the store's functions on threads: one that writes what has gathered, one that reads, and whichever renews a lease."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

from perdure.errors import StoreError
from perdure.store.sqlite.database import Database
from perdure.store.sqlite.holds import FORKED
from perdure.store.sqlite.reader import Reader
from perdure.store.sqlite.renewer import Renewer
from perdure.store.sqlite.transactions import Connection, Function, Transactions, commit_transaction
from perdure.store.sqlite.writer import Writer

T = TypeVar("T")


_forks = 0
"""How often this process came out of a fork: asking the system for the process id would take longer than all the rest of a check."""


def _count_fork() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


class ThreadRunner:
    """Bound to the event loop and the process it is made in."""

    def __init__(self, database: Database, commit: Callable[[Connection], None] = commit_transaction) -> None:
        self._database = database
        self._loop = asyncio.get_running_loop()
        self._generation = _forks
        self._renewer = Renewer(database)
        self._writer = Writer(Transactions(database, commit), self._loop, self._renewer, f"{database.path}-wal")
        self._reader = Reader(database, self._loop)
        self._closed: asyncio.Future[None] | None = None

    async def open(self, create: bool) -> None:
        """Raises what Database.examine and Database.connect_writer raise."""
        await self._writer.open(create)

    def abandon(self) -> None:
        """Whoever was opening it waits no more: its thread ends as soon as it has the file, or gives up."""
        self._writer.abandon()

    def write(self, function: Function[T]) -> Awaitable[T]:
        self._refuse_misuse()
        return self._writer.ask(function)

    def read(self, function: Function[T]) -> Awaitable[T]:
        self._refuse_misuse()
        if self._database.is_memory:
            return self._writer.ask(function)
        return self._reader.ask(function)

    def write_now(self, function: Function[T]) -> T:
        self._refuse_closed()
        if self._database.is_memory:
            return self._writer.ask_now(function)
        return self._renewer.run(function)

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._refuse_misuse()
        if self._database.is_memory:
            return lambda: None  # nobody else can write there
        return self._writer.watch(callback)

    async def close(self) -> None:
        if self._generation != _forks:
            return  # the connections are those of the process it was forked from
        if self._closed is not None:
            await asyncio.shield(self._closed)
            return
        self._closed = self._loop.create_future()
        try:
            await self._reader.close()
            self._renewer.close()
            await self._writer.close()  # last: the last connection of all copies the WAL into the database
        finally:
            self._closed.set_result(None)

    def _refuse_misuse(self) -> None:
        self._refuse_closed()
        if asyncio.get_running_loop() is not self._loop:
            raise StoreError(
                "the store was opened on another event loop; open an Engine or a Client on this one, or hand the call over from a thread: "
                "asyncio.run_coroutine_threadsafe(…, the_other_loop).result()"
            )

    def _refuse_closed(self) -> None:
        if self._generation != _forks:
            raise StoreError(f"{self._database.path} {FORKED}")
        if self._closed is not None:
            raise StoreError("the store is closed")
