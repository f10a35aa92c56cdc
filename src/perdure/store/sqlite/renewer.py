"""Writes at once, from whichever thread asks: for leases, which must not wait for the event loop or for a slow disk."""

import threading
from typing import TypeVar

import apsw

from perdure.store.sqlite.database import Database
from perdure.store.sqlite.failures import meaning_of
from perdure.store.sqlite.statements import fetch
from perdure.store.sqlite.transactions import Connection, Function, commit_transaction

T = TypeVar("T")


class Renewer:
    """A connection of its own, opened with the first write. Any failure is a reason to open the next one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._db: Connection | None = None
        self.commits = 0

    def run(self, function: Function[T]) -> T:
        with self._lock:
            try:
                self._database.check_files()
                if self._db is None:
                    self._db = self._database.connect_renewer()
                fetch(self._db, "begin immediate")
                value = function(self._db)
                commit_transaction(self._db)
                self.commits += 1
            except Exception as error:
                self._drop()
                meaning = meaning_of(error, self._database.path)
                raise meaning from meaning.__cause__
            return value

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        db, self._db = self._db, None
        if db is None:
            return
        try:
            db.close()
        except apsw.Error:
            self._unclosed = db  # kept, so that its end does not come at a random moment
