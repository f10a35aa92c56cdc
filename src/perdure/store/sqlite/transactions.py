"""Runs functions of a connection in one transaction, and says what became of each."""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, TypeVar

import apsw

from perdure.errors import PerdureError, StoreFailed, StoreNotFound, StoreUnavailable
from perdure.store.protocol import UnknownOutcome
from perdure.store.sqlite.backlog import Backlog
from perdure.store.sqlite.database import Database, WalLost, checkpoint_wal
from perdure.store.sqlite.failures import BREAKS_THE_CONNECTION, concerns_all, meaning_of, says_fsync_failed, sync_failed
from perdure.store.sqlite.holds import Identity, let_go, loosen_hold, take_hold
from perdure.store.sqlite.statements import fetch

T = TypeVar("T")
Connection = apsw.Connection
Function = Callable[[Connection], T]
"""May be run again after a rollback, so it changes nothing but the database."""


@dataclass(frozen=True, slots=True)
class Done:
    """It is committed."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """It is not, or, with UnknownOutcome, nobody knows."""

    error: Exception


Outcome = Done | Failed

COMMIT_TRIES = 2  # of a busy timeout each
CHECKPOINT_PAGES = 4000  # 16 MiB: rare enough that pages written often are copied once, small enough to be copied in a moment


class ForAll(Exception):
    """What went wrong is no fault of any one function."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def commit_transaction(db: Connection) -> None:
    fetch(db, "commit")


def attempted(function: Function[Any], db: Connection) -> Outcome:
    """One that refuses before it has written anything disturbs nobody; any other error ends the transaction."""
    before = db.total_changes()
    try:
        return Done(function(db))
    except PerdureError as error:
        if db.total_changes() != before:
            raise
        return Failed(error)


class Transactions:
    """The connection that writes. Used by one thread at a time; `commit` is a parameter so that faults can be put there."""

    def __init__(self, database: Database, commit: Callable[[Connection], None] = commit_transaction) -> None:
        self._database = database
        self._commit = commit
        self._db: Connection | None = None
        self._failed: StoreFailed | None = None
        self._hold: Identity | None = None
        self._data_version: int | None = None
        self._wal_pages = 0
        self._wal_pages_copied = 0
        self._backlog = Backlog(database.path)
        self.watches = False
        self.others_wrote = False  # since it was last set to False; as of the last transaction or look

    def open(self, create: bool) -> None:
        """Raises what Database.examine and Database.connect_writer raise."""
        self._database.examine(create)
        self._connection()

    def close(self) -> None:
        hold, self._hold = self._hold, None
        if hold is not None:
            loosen_hold(hold)
            self._database.forget_wal()
        try:
            if self._db is not None:
                self._db.close()
                self._db = None
        finally:
            if hold is not None:
                let_go(hold)

    def run(self, functions: Sequence[Function[Any]]) -> list[Outcome]:
        """All in one transaction, in this order; where one is refused, each in a transaction of its own."""
        try:
            return self._together(functions)
        except ForAll as trouble:
            if isinstance(trouble.error, WalLost) and self._failed is None:
                self._stop_writing(trouble.error)
            return [Failed(copy(trouble.error)) for _ in functions]  # one each: whoever raises an error writes into it
        except Exception as error:  # handed to whoever asked, or met again below, where each runs alone
            if len(functions) == 1:
                return [Failed(meaning_of(error, self._database.path))]
        return [self.run([function])[0] for function in functions]

    def _together(self, functions: Sequence[Function[Any]]) -> list[Outcome]:
        if self._failed is not None:
            raise ForAll(self._failed)
        try:
            self._for_all(self._database.check_files)
            db = self._for_all(self._connection)
            fetch(db, "begin immediate")
            self._notice_others(db)
            outcomes = [attempted(function, db) for function in functions]
            self._for_all(self._database.check_file)
        except BaseException as error:
            self._undo(error)
            if isinstance(error, Exception) and concerns_all(error):
                raise ForAll(meaning_of(error, self._database.path)) from error
            raise
        self._finish(db)
        self._check_committed()
        return outcomes

    def _finish(self, db: Connection) -> None:
        for tries_left in reversed(range(COMMIT_TRIES)):
            try:
                return self._commit(db)
            except apsw.BusyError as error:
                if not tries_left:
                    self._undo(error)
                    raise ForAll(meaning_of(error, self._database.path)) from error
            except apsw.Error as error:
                raise ForAll(self._after_failed_commit(error)) from error
        return None

    def _after_failed_commit(self, error: apsw.Error) -> Exception:
        self._undo(error)
        self._drop()
        if self._failed is not None:
            return self._failed
        return UnknownOutcome(f"{self._database.path}: COMMIT failed ({error}); it may or may not be on disk")

    def _for_all(self, function: Callable[[], T]) -> T:
        """What goes wrong here would go wrong for each alone as well, after as long a wait."""
        try:
            return function()
        except Exception as error:
            raise ForAll(error) from error

    def _check_committed(self) -> None:
        """What went where others do not see it is not acknowledged."""
        try:
            self._database.check_files()
        except StoreNotFound as error:
            raise ForAll(UnknownOutcome(f"{error}, but what was asked just now may be in the file")) from error
        except StoreFailed as error:
            raise ForAll(error) from error

    def _stop_writing(self, lost: WalLost) -> None:
        """What was acknowledged is in a WAL that only this connection can reach: into the database with it, if nobody else wrote there."""
        self._failed = lost
        if self._db is None:
            return
        try:
            if self._database.is_as_it_was():
                checkpoint_wal(self._db)
        except (apsw.Error, OSError) as error:
            lost.add_note(f"what was in the WAL could not be saved: {error}")
        # Else closing would copy pages over those that others have written since.
        self._db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)

    # ── the connection ───────────────────────────────────────────────────────────────────────────────────────────────

    def _connection(self) -> Connection:
        if self._db is None:
            db = self._database.connect_writer()
            try:
                if self._hold is None and not self._database.is_memory:
                    self._hold = take_hold(self._database.path)
            except OSError as error:
                self._database.forget_wal()
                db.close()
                raise StoreUnavailable(f"{self._database.path} cannot be held ({error}); nothing was written, try again") from error
            db.set_wal_hook(self._count_wal_pages)
            self._data_version = None
            self._db = db
        return self._db

    def _undo(self, error: BaseException) -> None:
        if says_fsync_failed(error):
            self._failed = sync_failed(error)
        db = self._db
        if db is None:
            return
        try:
            if db.in_transaction:
                fetch(db, "rollback")
        except apsw.Error:
            self._drop()  # closing it rolls back as well
        if isinstance(error, BREAKS_THE_CONNECTION):
            self._drop()

    def _drop(self) -> None:
        if self._db is None or self._database.is_memory:  # with its connection the whole database would be gone
            return
        db, self._db = self._db, None
        self._database.forget_wal()
        try:
            db.close()
        except apsw.Error:
            self._dropped = db  # it could not even be closed: kept, so that its end does not come at a random moment

    # ── what others wrote, and the WAL ───────────────────────────────────────────────────────────────────────────────

    def look_for_others(self) -> None:
        """Between transactions: sees what other connections committed."""
        if self._db is not None:
            try:
                self._notice_others(self._db)
            except apsw.Error:
                self.others_wrote = True  # it may be so, and whoever looks there meets the error

    def _notice_others(self, db: Connection) -> None:
        version = fetch(db, "pragma data_version")[0][0]
        if version != self._data_version:
            self._data_version = version
            self.others_wrote = True

    def _count_wal_pages(self, _db: Connection, _schema: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def tidy(self) -> None:
        """Copy a WAL that has grown into the database. A full or failing disk is met again by the next commit; a failed sync is final."""
        if self._wal_pages < self._wal_pages_copied:
            self._wal_pages_copied = 0  # it was begun anew
        if self._db is None or self._wal_pages - self._wal_pages_copied < CHECKPOINT_PAGES:
            return
        self._wal_pages_copied = self._wal_pages
        try:
            self._backlog.look(*checkpoint_wal(self._db))
            self._database.remember_file()
        except (apsw.Error, OSError) as error:
            self._undo(error)
