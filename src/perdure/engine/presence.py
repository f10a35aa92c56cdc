"""A file that a living process holds locked: the kernel lets go of it the moment the process dies."""

import errno
import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_held: set[str] = set()
"""Paths locked by this process. POSIX drops a process's lock when it closes any descriptor of the file: these are never opened again."""


class Presence:
    """This process's own lock."""

    def __init__(self, folder: str, name: str) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.path = str(Path(folder, name).absolute())
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if sys.platform != "win32":
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _held.add(self.path)

    def leave(self) -> None:
        """Unlock and remove the file. Idempotent."""
        if self._descriptor < 0:
            return
        Path(self.path).unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1
        _held.discard(self.path)


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


def forget_presence(path: str) -> None:
    """Remove what a dead worker has left. Whoever still holds the lock keeps it: that is of the file, not of its name."""
    if path and path not in _held:
        Path(path).unlink(missing_ok=True)
        Path(path).with_suffix(".crumbs").unlink(missing_ok=True)
