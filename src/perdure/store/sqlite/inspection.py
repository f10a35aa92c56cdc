"""Reads a store without leaving a trace: no byte is changed, no file appears beside it, and between two calls no lock is held."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import quote

import apsw

from perdure.errors import NotAStore, PerdureError, SchemaTooOld, StoreError, StoreNotFound, StoreUnavailable
from perdure.store.protocol import Loaded
from perdure.store.sqlite import runs, schema
from perdure.store.sqlite.database import APPLICATION_ID, BUSY_SECONDS, MEMORY, patience
from perdure.store.sqlite.failures import meaning_of
from perdure.store.sqlite.filesystems import refuse_network_file_system
from perdure.store.sqlite.holds import refuse_what_was_forked
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.statements import fetch

T = TypeVar("T")
SQL = named_queries("runs")
Stamp = tuple[int, int, int, int]
TRIES_MOST = 20  # a worker that comes or goes in the middle of a read makes it be read again


class SqliteInspection:
    """Needs the right to read only. Each call opens the file, reads in one transaction and closes it again."""

    def __init__(self, path: str, *, namespace: str) -> None:
        if path == MEMORY:
            raise StoreError("a store in memory belongs to its own process; export its runs there")
        self._path = os.path.abspath(path)
        self._namespace = namespace

    # ── what can be asked ────────────────────────────────────────────────────────────────────────────────────────────

    def check_schema(self) -> None:
        """Raises StoreNotFound, NotAStore, SchemaTooNew, SchemaTooOld, UnsafeFileSystem, StoreUnavailable."""
        if not os.path.isfile(self._path) or not os.stat(self._path).st_size:
            raise StoreNotFound(f"there is no store at {self._path}; correct the address")
        refuse_network_file_system(self._path)
        status = self._read(schema.read_status)
        if status.pending:
            raise SchemaTooOld(f"{self._path} lacks {', '.join(status.pending)}; run `perdure db migrate`, or check with an older perdure")

    def unfinished(self, *, workflow: str | None = None, after: str = "", limit: int = 1000) -> Sequence[tuple[str, str]]:
        values = {"namespace": self._namespace, "workflow": workflow, "after": after, "limit": limit}
        return self._read(lambda db: fetch(db, SQL["unfinished_after"], values))

    def load(self, run_ids: Sequence[str]) -> Mapping[str, Loaded]:
        return self._read(lambda db: runs.load(db, self._namespace, run_ids))

    def inboxes(self, at_least: int) -> Mapping[str, int]:
        return dict(self._read(lambda db: fetch(db, SQL["inboxes"], (self._namespace, at_least))))

    # ── without a trace ──────────────────────────────────────────────────────────────────────────────────────────────

    def _read(self, function: Callable[[apsw.Connection], T]) -> T:
        refuse_what_was_forked(self._path)
        for _ in range(TRIES_MOST):
            try:
                found = self._read_live(function) if self._has_wal() else self._read_still(function)
            except apsw.NotADBError as error:
                raise NotAStore(f"{self._path} is not an SQLite database; choose another file") from error
            except apsw.Error as error:
                raise meaning_of(error, self._path) from error
            if found is not None:
                return found[0]
        raise StoreUnavailable(f"workers came and went on {self._path} all the time while it was read; nothing was written, try again")

    def _read_live(self, function: Callable[[apsw.Connection], T]) -> tuple[T]:
        """Beside whoever writes: a reader of the WAL sees one moment and keeps nobody from writing."""
        return (self._asked("mode=ro", function),)

    def _read_still(self, function: Callable[[apsw.Connection], T]) -> tuple[T] | None:
        """Nobody has the store open. To join its WAL would create files that only the reader may then be able to write, and their locks.

        So the file is read as one that does not change, and afterwards it must not have: None if somebody came meanwhile.
        """
        before = self._stamp()
        try:
            found = self._asked("immutable=1", function)
        except (apsw.Error, PerdureError):
            if self._stamp() == before and not self._has_wal():
                raise
            return None  # it may have been torn while it was read: it is read again
        return None if self._has_wal() or self._stamp() != before else (found,)

    def _asked(self, how: str, function: Callable[[apsw.Connection], T]) -> T:
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        db = apsw.Connection(f"file:{quote(self._path)}?{how}", flags=flags)
        try:
            db.set_busy_handler(patience(BUSY_SECONDS))
            db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            fetch(db, "begin")
            if db.pragma("application_id") != APPLICATION_ID:
                raise NotAStore(f"{self._path} is a database of something else; choose another file")
            return function(db)
        finally:
            db.close()  # which ends the transaction, too

    def _has_wal(self) -> bool:
        return os.path.exists(f"{self._path}-wal")

    def _stamp(self) -> Stamp:
        try:
            status = os.stat(self._path)
        except OSError as error:
            raise StoreNotFound(f"{self._path} is gone or out of reach ({error.strerror})") from error
        return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
