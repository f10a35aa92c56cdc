"""Starts and signals inside a transaction of the caller."""

import os
from collections.abc import Callable
from functools import partial
from typing import TypeGuard, TypeVar

from perdure.clock import Clock, Microseconds
from perdure.errors import BadInput, SchemaTooOld
from perdure.model.runs import NewRun, NewSignal
from perdure.store.callers.kinds import Caller, SqliteCaller, SqliteStatements
from perdure.store.protocol import Started
from perdure.store.sqlite import signals, starts
from perdure.store.sqlite.database import OLDEST_SQLITE, Database
from perdure.store.sqlite.holds import identity_of, refuse_beside_pythons
from perdure.store.sqlite.schema import read_status
from perdure.store.sqlite.statements import change, fetch

T = TypeVar("T")
FILE = "select file from pragma_database_list where name = 'main'"  # `pragma` itself is not for transactional steps
VERSION = "select sqlite_version()"
NEVER_CHECKPOINT = "pragma wal_autocheckpoint = 0"


class InsideSqlite:
    """Uses no connection but the caller's: the store itself need not be open in this process, and with Python's sqlite3 must not be."""

    def __init__(self, caller: Caller, database: Database, namespace: str, clock: Clock, keys_kept: Microseconds) -> None:
        """Raises BadInput for a connection of another kind of database."""
        if not is_of_sqlite(caller):
            raise BadInput(f"transaction= was given {caller.named}, but the store is on SQLite ({database.path}); nothing was written")
        if database.is_memory:
            raise BadInput("transaction= needs a store in a file: one in memory cannot be reached by another connection")
        self._caller = caller
        self._database = database
        self._namespace = namespace
        self._clock = clock
        self._keys_kept = keys_kept

    async def start(self, run: NewRun) -> Started:
        return await self._run(partial(starts.start, namespace=self._namespace, clock=self._clock, run=run, claimant=None))

    async def send(self, signal: NewSignal, limit: int) -> None:
        function = partial(
            signals.send, namespace=self._namespace, clock=self._clock, signal=signal, limit=limit, keys_kept=self._keys_kept
        )
        await self._run(function)

    async def _run(self, work: Callable[[SqliteStatements], T]) -> T:
        def checked(db: SqliteStatements) -> T:
            self._check(db)
            return work(db)

        return await self._caller.run(checked)

    def _check(self, db: SqliteStatements) -> None:
        [(path,)] = fetch(db, FILE)
        if not path or not os.path.exists(self._database.path) or identity_of(path) != identity_of(self._database.path):
            raise BadInput(
                f"transaction= was given {self._caller.named} to {path or 'a database in memory'}, but the store is {self._database.path}; "
                "nothing was written"
            )
        if self._caller.is_pythons:
            refuse_beside_pythons(self._database.path)
            self._leave_the_log_alone(db)
        status = read_status(db)
        if status.version == 0:
            raise BadInput(f"transaction= was given {self._caller.named} to {path}, which is no store yet: run `perdure db migrate`")
        if status.pending:
            raise SchemaTooOld(f"{path} lacks {', '.join(status.pending)}; run `perdure db migrate`", status.version, status.pending)

    def _leave_the_log_alone(self, db: SqliteStatements) -> None:
        """An SQLite that is old enough can corrupt the file when it copies the log into it while a worker writes. Workers copy it."""
        [(version,)] = fetch(db, VERSION)
        if tuple(map(int, version.split("."))) < OLDEST_SQLITE:
            change(db, NEVER_CHECKPOINT)


def is_of_sqlite(caller: Caller) -> TypeGuard[SqliteCaller]:
    return hasattr(caller, "run")
