"""A disk that fails when it is told to, and one that remembers all that was done to it: a layer below SQLite in this process."""

import errno
import json
import os
import signal
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import apsw

from tests.crash.effects import listen, tell
from tests.crash.options import Fault

ERRORS = {
    ("EIO", "sync"): (apsw.IOError, apsw.SQLITE_IOERR_FSYNC),
    ("EIO", "write"): (apsw.IOError, apsw.SQLITE_IOERR_WRITE),
    ("EIO", "read"): (apsw.IOError, apsw.SQLITE_IOERR_READ),
    ("ENOSPC", "write"): (apsw.FullError, apsw.SQLITE_FULL),
    ("ENOSPC", "sync"): (apsw.FullError, apsw.SQLITE_FULL),
    ("EROFS", "write"): (apsw.ReadOnlyError, apsw.SQLITE_READONLY),
}
HEADER = struct.Struct("<II")

_installed: "WatchedDisk | None" = None  # SQLite holds it, and so must we


def install(fault: Fault | None, journal: str | None) -> Callable[[], dict[str, int]]:
    """Lay it below every connection that this process opens from now on. Returns how often each operation was done."""
    global _installed
    if fault is None and journal is None:
        return dict
    _installed = WatchedDisk(fault, Journal(journal) if journal is not None else None)
    if (written := _installed.journal) is not None:
        listen(lambda at, what, data: written.write({"do": "effect", "at": at, "what": what, "data": data}) and None)
    return lambda: dict(_installed.done) if _installed is not None else {}


def ready() -> None:
    """Faults that wait for it may strike from now on."""
    if _installed is not None:
        _installed.is_ready = True


class WatchedDisk(apsw.VFS):
    def __init__(self, fault: Fault | None, journal: "Journal | None") -> None:
        self.done: Counter[str] = Counter()
        self.journal = journal
        self.is_ready = False
        self._fault = fault
        self._lock = threading.Lock()
        self._matching = 0
        super().__init__("watched", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> "WatchedFile":  # noqa: N802  named by SQLite
        return WatchedFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802  named by SQLite
        self.meet("delete", kind_of(filename))
        super().xDelete(filename, syncdir)
        self.note("delete", filename)

    def meet(self, operation: str, file: str) -> "Fault | None":
        """Count it, and do what the fault asks for before it; returns the fault that is to strike after it."""
        fault = self._fault
        with self._lock:
            self.done[f"{operation}.{file}"] += 1
            if (
                fault is None
                or (fault.from_ready and not self.is_ready)
                or fault.on not in (operation, "any")
                or fault.file not in (file, "any")
            ):
                return None
            self._matching += 1
            number = self._matching
        if not fault.kth <= number < (fault.until if fault.until is not None else fault.kth + 1):
            return None
        if fault.after or fault.do == "tear":
            return fault
        self.strike(fault, operation, number)
        return None

    def strike(self, fault: Fault, operation: str, number: int = 0) -> None:
        tell("struck", do=fault.do, operation=operation, number=number, thread=threading.current_thread().name)
        if fault.do in {"kill", "tear"}:
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault.do == "stop":
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # to the process, and this thread would go on for a moment
        elif fault.do == "delay":
            time.sleep(fault.seconds)
        elif (found := ERRORS.get((fault.do, operation))) is not None:
            kind, code = found
            error = kind(f"planted {fault.do} ({os.strerror(getattr(errno, fault.do))})")
            error.result, error.extendedresult = code & 255, code
            raise error

    def note(self, operation: str, name: str, number: int = 0, data: bytes = b"") -> int:
        return self.journal.write({"do": operation, "file": name, "number": number}, data) if self.journal is not None else 0


class WatchedFile(apsw.VFSFile):
    def __init__(self, disk: WatchedDisk, name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._kind = kind_of(self._name)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  named by SQLite
        later = self._disk.meet("write", self._kind)
        self._disk.note("write", self._name, offset, data)
        super().xWrite(data if later is None or later.do != "tear" else data[: len(data) // 2], offset)
        if later is not None:
            self._disk.strike(later, "write")

    def xTruncate(self, newsize: int) -> None:  # noqa: N802  named by SQLite
        self._disk.note("truncate", self._name, newsize)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802  named by SQLite
        later = self._disk.meet("sync", self._kind)
        began = self._disk.note("sync-begins", self._name)
        super().xSync(flags)
        self._disk.note("sync", self._name, began)
        if later is not None:
            self._disk.strike(later, "sync")


def kind_of(name: str) -> str:
    return next((kind for kind in ("wal", "journal", "shm") if name.endswith(f"-{kind}")), "db")


class Journal:
    """Numbered entries in the order they were made, by any thread."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115  it lives as long as the process
        self._lock = threading.Lock()
        self._number = 0

    def write(self, entry: dict[str, Any], data: bytes = b"") -> int:
        head = json.dumps(entry).encode()
        with self._lock:
            self._number += 1
            self._file.write(HEADER.pack(len(head), len(data)) + head + data)
            return self._number


def read_journal(path: str) -> list[tuple[dict[str, Any], bytes]]:
    with open(path, "rb") as file:
        content = file.read()
    entries, place = [], 0
    while place < len(content):
        head, data = HEADER.unpack_from(content, place)
        place += HEADER.size
        entries.append((json.loads(content[place : place + head]), content[place + head : place + head + data]))
        place += head + data
    return entries
