"""Holds the files of open stores against what else this process may do with them.

A process loses all its POSIX locks on a file when it closes any descriptor of it. SQLite takes care of its own connections, but Python's
sqlite3 and other drivers bring another copy of it. Once one of those has closed the store, whoever closes it next believes to be the last
and takes the WAL away, with what is written into it afterwards. So each open store is held by a lock of another kind, on the bytes of
SQLite's shared lock, that only its own descriptor can lose. Python's sqlite3 is refused besides: it would drop the locks between writers.

A forked child inherits what SQLite remembers of its locks, but not the locks: it would write and close as if it had them, also with new
connections. So a store that is open while the process forks is refused in the child.
"""

import errno
import fcntl
import gc
import os
import struct
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from perdure.errors import StoreError

if TYPE_CHECKING:
    import sqlite3

Identity = tuple[int, int]
SHARED_FIRST, SHARED_BYTES = 0x40000002, 510
SET_LOCK = getattr(fcntl, "F_OFD_SETLK", None)  # Linux; elsewhere the store only notices afterwards
CANNOT_LOCK = frozenset({errno.EACCES, errno.EAGAIN, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


@dataclass(slots=True)
class Hold:
    descriptor: int
    holders: int = 0
    is_locked: bool = False


_holds: dict[Identity, Hold] = {}
_of_the_parent: set[Identity] = set()
_of_pythons: set[Identity] = set()  # stores that a connection of Python's own sqlite3 was seen to be open on
_guard = threading.Lock()
_watches = False

FORKED = (
    "was open in the process that this one was forked from, and SQLite's locks do not survive a fork: close it before the fork, open it "
    "only after the fork, in the child, or start the child as a new process (spawn)"
)


def identity_of(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> Identity:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def take_hold(path: str) -> Identity:
    """Of a file that an SQLite connection of this process has open in WAL mode."""
    global _watches
    with _guard:
        identity = identity_of(path)
        hold = _holds.get(identity)
        if hold is None:
            hold = _holds[identity] = Hold(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        hold.holders += 1
        if not hold.is_locked:
            hold.is_locked = set_lock(hold.descriptor, fcntl.F_RDLCK)
        if not _watches:
            _watches = True
            sys.addaudithook(refuse_other_sqlite)
    return identity


def loosen_hold(identity: Identity) -> None:
    """Before the last connection is closed, which tidies the WAL away only where nobody holds the file."""
    with _guard:
        hold = _holds[identity]
        hold.holders -= 1
        if not hold.holders and hold.is_locked:
            hold.is_locked = not set_lock(hold.descriptor, fcntl.F_UNLCK)


def let_go(identity: Identity) -> None:
    """After the connections are closed: closing the descriptor drops the locks of any that is left."""
    with _guard:
        hold = _holds.get(identity)
        if hold is not None and not hold.holders:
            del _holds[identity]
            os.close(hold.descriptor)


def refuse_beside_pythons(path: str) -> None:
    """Before a connection of Python's sqlite3 to a store is used. Raises StoreError where this process has the store open."""
    identity = identity_of(path)
    with _guard:
        if identity in _holds:
            raise StoreError(
                f"{path} is open in this process, by an Engine or a Client: a connection of Python's own sqlite3 would drop its locks. "
                "Give the transaction to a Client that is not opened, in a process where none is; or bring a connection of apsw"
            )
        _of_pythons.add(identity)


def refuse_after_pythons(path: str) -> None:
    """Before the store is opened. Raises StoreError where Python's sqlite3, which was seen to have it open, has any connection left."""
    if not _of_pythons or not os.path.exists(path) or identity_of(path) not in _of_pythons:
        return
    import sqlite3  # it is loaded: a connection of it was brought

    if any(isinstance(one, sqlite3.Connection) and is_open(one) for one in gc.get_objects()):
        raise StoreError(
            f"this process has connections of Python's own sqlite3, and one to {path} was among them: it would drop the store's locks. "
            "Close them first, or open the store in another process; to start and signal in a transaction it need not be open"
        )
    _of_pythons.discard(identity_of(path))


def is_open(connection: "sqlite3.Connection") -> bool:
    try:
        connection.total_changes  # noqa: B018 - asked whether it answers
    except Exception:  # put back: it is closed, or was never opened
        return False
    return True


def is_held(identity: Identity) -> bool:
    with _guard:
        return identity in _holds and _holds[identity].is_locked


def set_lock(descriptor: int, kind: int) -> bool:
    """Whether it was done."""
    if SET_LOCK is None:
        return False
    try:
        fcntl.fcntl(descriptor, SET_LOCK, struct.pack("hhqqi0q", kind, os.SEEK_SET, SHARED_FIRST, SHARED_BYTES, 0))
    except OSError as error:
        if error.errno not in CANNOT_LOCK:
            raise
        return False  # a file system without such locks: the store notices afterwards that its WAL is gone
    return True


def refuse_other_sqlite(event: str, arguments: tuple[object, ...]) -> None:
    if event != "sqlite3.connect" or not _holds:
        return
    path = path_of(arguments[0])
    try:
        is_ours = path is not None and identity_of(path) in _holds
    except (OSError, ValueError):
        return  # there is no such file: it is refused, or made, by whoever is asked
    if is_ours:
        raise StoreError(
            f"{os.fsdecode(path or '')} is a store that this process has open: Python's own sqlite3 would drop its locks; "
            "look at it from another process, or with apsw"
        )


def path_of(database: object) -> str | bytes | None:
    if not isinstance(database, str | bytes | os.PathLike):
        return None
    path = os.fspath(database)
    if os.fsdecode(path).startswith("file:"):
        return unquote(urlsplit(os.fsdecode(path)).path)
    return path


def refuse_what_was_forked(path: str) -> None:
    """Before a connection is made. Raises StoreError."""
    if _of_the_parent and os.path.exists(path) and identity_of(path) in _of_the_parent:
        raise StoreError(f"{path} {FORKED}")


def forget_holds() -> None:
    """In a forked child, which has no locks: the descriptors stay open, for they are the parent's hold as well."""
    global _guard
    _guard = threading.Lock()
    _of_the_parent.update(_holds)
    _holds.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_holds)
