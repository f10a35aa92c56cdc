"""Which runs' code is executing right now, in a file that survives the process: who reads it after a death knows the suspects."""

import errno
import mmap
import os
import types
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

PASSES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_SLOT_BYTES = 1024  # an id of 200 characters in UTF-8 fits


class Crumbs:
    """Slot 0 is the event loop's, the others belong to threads. Written through a memory map: no system call on the way."""

    def __init__(self, threads: int) -> None:
        self._path: str | None = None
        self._process = os.getpid()
        self._free = list(range(threads, 0, -1))
        self._map: mmap.mmap | bytearray = bytearray(_SLOT_BYTES * (threads + 1) + 1)

    def open(self, path: str) -> None:
        """Keep them in this file from now on; what is down already goes with them."""
        self.remove()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _take_space(descriptor, len(self._map))
            mapped = mmap.mmap(descriptor, len(self._map))
        finally:
            os.close(descriptor)
        mapped[:] = bytes(self._map[:])
        self._path, self._map = path, mapped

    def say_alone(self, is_alone: bool) -> None:
        """Whether a suspect has this process to itself: only then its death is the suspect's doing."""
        self._map[-1] = is_alone

    def drop(self, crumb: bytes, slot: int = 0) -> None:
        """The code of the run that this is the crumb of begins to execute."""
        begin = slot * _SLOT_BYTES
        self._map[begin : begin + len(crumb)] = crumb

    def pick_up(self, slot: int = 0) -> None:
        """It does not execute any more."""
        self._map[slot * _SLOT_BYTES] = 0

    def around(self, function: Callable[..., Any], crumb: bytes, slot: int) -> Callable[..., Any]:
        """The same function, with the crumb down while it executes."""

        def watched_function(*args: Any, **kwargs: Any) -> Any:
            self.drop(crumb, slot)
            try:
                return function(*args, **kwargs)
            finally:
                self.pick_up(slot)

        return watched_function

    def executing_here(self) -> str | None:
        """The run whose code holds the event loop now; from any thread."""
        content = bytes(self._map[:_SLOT_BYTES])
        return content[1:].split(b"\0", 1)[0].decode(errors="replace") if content[:1] == b"\1" else None

    def take_slot(self) -> int:
        """A slot for a thread; 0, the loop's, is never handed out. None left is a mistake of the caller: there are as many as threads."""
        return self._free.pop()

    def give_back(self, slot: int) -> None:
        self.pick_up(slot)
        self._free.append(slot)

    def remove(self) -> None:
        """Forget the file. Idempotent. A forked child leaves it to its parent."""
        if self._path is not None and self._process == os.getpid():
            Path(self._path).unlink(missing_ok=True)
            self._path = None


def crumb_of(run_id: str) -> bytes:
    """What is written while the run's code executes."""
    return b"\1" + run_id.encode(errors="replace")[: _SLOT_BYTES - 2] + b"\0"


def _take_space(descriptor: int, size: int) -> None:
    """Really, where the system can: writing through the map into a hole of a full disk would kill the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)


def crumbs_beside(lock: str) -> str:
    """Where the worker that holds this lock keeps its crumbs."""
    return str(Path(lock).with_suffix(".crumbs"))


def executing(lock: str) -> tuple[frozenset[str], bool]:
    """The runs whose code was executing when the process that held this lock died, and whether one was alone."""
    if not lock:
        return frozenset(), False
    try:
        content = Path(crumbs_beside(lock)).read_bytes()
    except OSError as error:
        if error.errno in PASSES:
            raise
        return frozenset(), False  # there is none, or it may not be read: nothing is held against anybody
    slots = (content[begin : begin + _SLOT_BYTES] for begin in range(0, len(content) - 1, _SLOT_BYTES))
    names = frozenset(slot[1:].split(b"\0", 1)[0].decode(errors="replace") for slot in slots if slot[:1] == b"\1")
    return names, content[-1:] == b"\1"


@types.coroutine
def watched(coroutine: Coroutine[Any, Any, Any], crumb: bytes, crumbs: Crumbs) -> Generator[Any, Any, Any]:
    """Drive a coroutine with its run's crumb down while its code executes, not while it is suspended."""
    step, value = coroutine.send, None
    while True:
        crumbs.drop(crumb)
        try:
            yielded = step(value)
        except StopIteration as stop:
            return stop.value
        finally:
            crumbs.pick_up()
        try:
            value, step = (yield yielded), coroutine.send
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:
            value, step = error, coroutine.throw
