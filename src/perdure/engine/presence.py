"""A file that a living process holds locked, and in which it says how long it means to live: neither asks the store for anything."""

import errno
import os
import sys
import threading
from pathlib import Path

from perdure.clock import Microseconds

if sys.platform != "win32":
    import fcntl

_held: dict[str, Microseconds] = {}
"""Paths locked by this process, with what it promised. POSIX drops a process's lock when it closes any descriptor of the file: these are
never opened again."""


class Presence:
    """This process's own lock."""

    def __init__(self, folder: str, name: str) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.path = str(Path(folder, name).absolute())
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._process = os.getpid()
        self._lock = threading.Lock()  # so that nobody writes to a descriptor that was closed and belongs to another file by now
        if sys.platform != "win32":
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _held[self.path] = 0

    def promise(self, until: Microseconds) -> None:
        """Say that this process lives, and will say so again before this moment since boot. A slow store does not keep it from that."""
        with self._lock:
            if self._descriptor >= 0 and sys.platform != "win32":
                os.pwrite(self._descriptor, b"%020d" % until, 0)
                _held[self.path] = until

    def leave(self) -> None:
        """Unlock and remove the file, and the crumbs beside it. Idempotent. What a fork has copied is the parent's and stays."""
        if os.getpid() != self._process:
            return
        with self._lock:
            if self._descriptor < 0:
                return
            forget_files(self.path)
            os.close(self._descriptor)
            self._descriptor = -1
            del _held[self.path]


def is_gone(path: str) -> bool:
    """Whether the process that held this lock is certainly dead. False where nobody can tell."""
    if sys.platform == "win32" or not path or path in _held:
        return False  # there the lease alone decides
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True  # removed by its owner, or by whoever buried it
    except OSError:
        return False  # of another user: the lease decides
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    finally:
        os.close(descriptor)


def promised_until(path: str) -> Microseconds:
    """Until when, since boot, whoever holds this lock is to be taken for alive; 0 where nobody can tell."""
    if not path or path in _held:
        return _held.get(path, 0)
    try:
        said = Path(path).read_bytes()
    except OSError:
        return 0  # the row in the store alone decides
    return int(said) if said.isdigit() else 0


def forget_presence(path: str) -> None:
    """Remove what a dead worker has left. Whoever still holds the lock keeps it: that is of the file, not of its name."""
    if path and path not in _held:
        forget_files(path)


def forget_files(path: str) -> None:
    """The lock and the crumbs beside it."""
    Path(path).unlink(missing_ok=True)
    Path(path).with_suffix(".crumbs").unlink(missing_ok=True)
