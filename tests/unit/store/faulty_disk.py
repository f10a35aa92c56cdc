"""A disk that fails where it is told to: a layer of SQLite's own between it and the operating system."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import apsw

FULL = apsw.FullError
BROKEN = apsw.IOError


def sync_error() -> apsw.Error:
    error = apsw.IOError("the disk failed to sync")
    error.result, error.extendedresult = apsw.SQLITE_IOERR, apsw.SQLITE_IOERR_FSYNC
    return error


class FaultyDisk(apsw.VFS):
    """`fail` is asked before each write and each sync of each file, and raises what is to go wrong."""

    def __init__(self) -> None:
        self.fail: Callable[[str, str], None] = lambda operation, name: None
        super().__init__("faulty", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 the name is SQLite's
        return FaultyFile(self, name, flags)

    def fail_next(self, operation: str, ending: str, error: Callable[[], Exception]) -> None:
        """Once, on the next such operation on a file whose name ends so."""

        def fail(happening: str, name: str) -> None:
            if happening == operation and name.endswith(ending):
                self.heal()
                raise error()

        self.fail = fail

    def fail_all(self, operation: str, ending: str, error: Callable[[], Exception]) -> None:
        def fail(happening: str, name: str) -> None:
            if happening == operation and name.endswith(ending):
                raise error()

        self.fail = fail

    def heal(self) -> None:
        self.fail = lambda operation, name: None


class FaultyFile(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 the name is SQLite's
        self._disk.fail("write", self._name)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 the name is SQLite's
        self._disk.fail("sync", self._name)
        super().xSync(flags)


@contextmanager
def faulty_disk() -> Iterator[FaultyDisk]:
    disk = FaultyDisk()
    try:
        yield disk
    finally:
        disk.heal()
        disk.unregister()
