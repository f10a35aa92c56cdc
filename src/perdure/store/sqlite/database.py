"""One SQLite database: where it is, how it is opened, and whether it is still the same file."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import apsw

from perdure.errors import NotAStore, StoreError, StoreFailed, StoreIsReadOnly, StoreNotFound, StoreUnavailable, UnsafeFileSystem
from perdure.store.sqlite.failures import meaning_of
from perdure.store.sqlite.filesystems import refuse_network_file_system
from perdure.store.sqlite.holds import Identity, is_held, refuse_after_pythons, refuse_what_was_forked
from perdure.store.sqlite.statements import fetch

MEMORY = ":memory:"
APPLICATION_ID = 1885631858
OLDEST_SQLITE = (3, 51, 3)  # those before can corrupt a WAL file that two connections use
BUSY_SECONDS = 5.0
RENEWAL_BUSY_SECONDS = 1.5  # below the interval of renewals: a late answer is of no use
BUSY_PAUSES_SHORT = 1000  # of 1 ms; then of 5 ms
WRITER_CACHE_KIBIBYTES = 4096
MODE_TRIES = 500
MODE_PAUSE_SECONDS = 0.01
WAL_BYTES_KEPT = 64 * 1024 * 1024
STOP = "nothing more is acknowledged; restart all processes of the store"


class WalLost(StoreFailed):
    """Others no longer see what this process writes."""


@dataclass(slots=True)
class Database:
    """`path` is as the user gave it; relative ones are fixed when the object is made."""

    path: str
    _may_create: bool = field(default=False, init=False)
    _identity: Identity | None = field(default=None, init=False)
    _beside: dict[str, int] = field(default_factory=dict, init=False)  # the WAL and its index: path -> inode
    _stamp: tuple[int, int] = field(default=(0, 0), init=False)

    def __post_init__(self) -> None:
        if self.path != MEMORY:
            self.path = os.path.abspath(self.path)

    @property
    def is_memory(self) -> bool:
        return self.path == MEMORY

    # ── before it is opened ──────────────────────────────────────────────────────────────────────────────────────────

    def examine(self, create: bool) -> None:
        """Never opens the file itself: closing it would drop the locks that SQLite holds on it in this process.

        Raises StoreNotFound, StoreIsReadOnly, UnsafeFileSystem, StoreError.
        """
        if tuple(map(int, apsw.sqlite_lib_version().split("."))) < OLDEST_SQLITE:
            raise StoreError(f"SQLite {apsw.sqlite_lib_version()} can corrupt a store; install apsw 3.51.3 or newer")
        self._may_create = create
        if self.is_memory:
            return
        folder = os.path.dirname(self.path)
        if not os.path.isdir(folder):
            raise StoreNotFound(f"there is no folder {folder}; create it, or correct the address")
        if os.path.exists(self.path) and not os.path.isfile(self.path):  # a folder, a pipe, a device
            raise StoreNotFound(f"{self.path} is no regular file; correct the address")
        refuse_network_file_system(self.path)
        if not create and not (os.path.exists(self.path) and os.stat(self.path).st_size):
            raise StoreNotFound(f"there is no store at {self.path}; start an Engine there, or run `perdure db migrate`, to create it")
        for path in (folder, self.path):
            if os.path.exists(path) and not os.access(path, os.W_OK):
                raise StoreIsReadOnly(f"{path} cannot be written by this process; give it the right to write the file and its folder")

    # ── connections ──────────────────────────────────────────────────────────────────────────────────────────────────

    def connect_writer(self) -> apsw.Connection:
        """The connection that writes and, alone in the process, checkpoints. Raises NotAStore and what `examine` raises."""
        try:
            return self._connect_writer()
        except apsw.NotADBError as error:
            raise NotAStore(f"{self.path} is not an SQLite database; choose another file") from error
        except apsw.Error as error:
            raise meaning_of(error, self.path) from error
        except OSError as error:
            raise StoreUnavailable(
                f"{self.path} or what stands beside it is out of reach ({error}); nothing was written, try again"
            ) from error

    def _connect_writer(self) -> apsw.Connection:
        db = self._open(BUSY_SECONDS)
        if self.is_memory:
            return db
        if db.readonly("main"):
            raise StoreIsReadOnly(f"{self.path} cannot be written by this process; give it the right to write the file and its folder")
        refuse_foreign_database(db, self.path)
        switch_to_wal(db, self.path)
        db.pragma("synchronous", "full")
        db.pragma("wal_autocheckpoint", 0)  # the writer checkpoints itself, after it has answered, and sees what goes wrong
        db.pragma("journal_size_limit", WAL_BYTES_KEPT)
        db.pragma("cache_size", -WRITER_CACHE_KIBIBYTES)
        fetch(db, "select 1 from sqlite_schema limit 1")  # now the WAL and its index are there
        self.remember_file()
        return db

    def connect_reader(self) -> apsw.Connection:
        db = self._open(BUSY_SECONDS)
        db.pragma("wal_autocheckpoint", 0)
        db.pragma("query_only", 1)
        return db

    def connect_renewer(self) -> apsw.Connection:
        """Syncs nothing: a lease need not outlive a power cut, and must not wait for a slow disk."""
        db = self._open(RENEWAL_BUSY_SECONDS)
        db.pragma("wal_autocheckpoint", 0)
        db.pragma("synchronous", "normal")
        return db

    def _open(self, busy_seconds: float) -> apsw.Connection:
        refuse_what_was_forked(self.path)
        refuse_after_pythons(self.path)
        flags = apsw.SQLITE_OPEN_READWRITE
        if self.is_memory or (self._may_create and self._identity is None):
            flags |= apsw.SQLITE_OPEN_CREATE  # only the first time: a file that was deleted since is not made anew
        db = apsw.Connection(self.path, flags=flags)
        db.set_busy_handler(patience(busy_seconds))
        db.pragma("mmap_size", 0)
        db.pragma("foreign_keys", 1)
        return db

    # ── while it is open ─────────────────────────────────────────────────────────────────────────────────────────────

    def remember_file(self) -> None:
        status = os.stat(self.path)
        if self._identity is None:
            self._identity = (status.st_dev, status.st_ino)
        if not self._beside:
            self._beside = {path: os.stat(path).st_ino for path in (f"{self.path}-wal", f"{self.path}-shm")}
        self._stamp = (status.st_mtime_ns, status.st_size)

    def forget_wal(self) -> None:
        """Before the connection that writes is closed: where nothing holds the file, that may take the WAL away, as it should."""
        if self._identity is None or not is_held(self._identity):
            self._beside = {}

    def is_as_it_was(self) -> bool:
        """Whether nobody has written the database itself since the last look."""
        status = os.stat(self.path)
        return (status.st_mtime_ns, status.st_size) == self._stamp

    def check_file(self) -> os.stat_result | None:
        """Raises StoreNotFound or StoreFailed where the path no longer leads to the file that is open."""
        if self._identity is None:
            return None
        try:
            status = os.stat(self.path)
        except OSError as error:
            raise StoreNotFound(f"{self.path} is gone or out of reach ({error.strerror}); nothing is written") from error
        if (status.st_dev, status.st_ino) != self._identity:
            raise StoreFailed(f"{self.path} has been replaced by another file while it was in use; restart the process")
        return status

    def check_files(self) -> None:
        """And WalLost where others no longer see the WAL that is open here."""
        status = self.check_file()
        if status is None:
            return
        for path, inode in self._beside.items():
            try:
                is_there = os.stat(path).st_ino == inode
            except FileNotFoundError:
                is_there = False
            except OSError as error:
                raise StoreNotFound(f"{path} is out of reach ({error.strerror}); nothing is written") from error
            if not is_there:
                self.check_file()  # the whole folder may have gone since: that is not for good
                raise WalLost(f"{path} has been removed or replaced while it was in use: others would not see what is written; {STOP}")
        self._stamp = (status.st_mtime_ns, status.st_size)


def refuse_foreign_database(db: apsw.Connection, path: str) -> None:
    """A database is a store by its application id; an empty one may become one."""
    tables = [name for (name,) in fetch(db, "select name from sqlite_schema limit 3")]
    # The id is read last: a process that migrates meanwhile writes both at once, so where its tables are seen the id is too.
    if tables and db.pragma("application_id") != APPLICATION_ID:
        raise NotAStore(f"{path} is a database of something else (it has {', '.join(tables)}); choose another file")


def patience(seconds: float) -> Callable[[int], bool]:
    """What SQLite asks, with how often it has waited already, when it meets a lock: whether to look again.

    Its own way pauses up to 100 ms, and so, next to a process that commits all the time, finds the lock free only by luck.
    """
    never = threading.Event()
    pauses_most = BUSY_PAUSES_SHORT + (seconds - BUSY_PAUSES_SHORT / 1000) / 0.005

    def look_again(pauses: int) -> bool:
        never.wait(0.001 if pauses < BUSY_PAUSES_SHORT else 0.005)
        return pauses < pauses_most

    return look_again


def switch_to_wal(db: apsw.Connection, path: str) -> None:
    """SQLite does not wait for locks when it changes the mode, so two processes that open a new file at once are told that it is busy."""
    for _ in range(MODE_TRIES - 1):
        try:
            mode = db.pragma("journal_mode", "wal")
            break
        except apsw.BusyError:
            threading.Event().wait(MODE_PAUSE_SECONDS)  # tried again, and at last without a net
    else:
        mode = db.pragma("journal_mode", "wal")
    if mode != "wal":
        raise UnsafeFileSystem(f"{path} is on a file system without the shared memory of SQLite's WAL (its mode stays {mode})")


def checkpoint_wal(db: apsw.Connection) -> tuple[int, int]:
    """Copy what is committed from the WAL into the database as far as readers allow: its pages, and how many of them are copied."""
    return db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
