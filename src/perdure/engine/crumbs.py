"""Which runs' code is executing right now, in a file that survives the process: who reads it after a death knows the suspects."""

import mmap
import os
import types
from collections.abc import Coroutine, Generator
from pathlib import Path
from typing import Any

_SLOT_BYTES = 1024  # an id of 200 characters in UTF-8 fits


class Crumbs:
    """Slot 0 is the event loop's, the others belong to threads. Written through a memory map: no system call on the way."""

    def __init__(self, path: str | None, threads: int) -> None:
        self.path = path
        self._free = list(range(threads, 0, -1))
        self._map: mmap.mmap | bytearray
        if path is None:
            self._map = bytearray(_SLOT_BYTES * (threads + 1))
            return
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, _SLOT_BYTES * (threads + 1))
            self._map = mmap.mmap(descriptor, _SLOT_BYTES * (threads + 1))
        finally:
            os.close(descriptor)

    def drop(self, run_id: str, slot: int = 0) -> None:
        """This run's code begins to execute."""
        name = run_id.encode()[: _SLOT_BYTES - 1]
        begin = slot * _SLOT_BYTES
        self._map[begin + 1 : begin + 1 + len(name)] = name
        self._map[begin + 1 + len(name)] = 0
        self._map[begin] = 1

    def pick_up(self, slot: int = 0) -> None:
        """It does not execute any more."""
        self._map[slot * _SLOT_BYTES] = 0

    def take_slot(self) -> int:
        """A slot for a thread; 0, the loop's, is never handed out. None left is a mistake of the caller: there are as many as threads."""
        return self._free.pop()

    def give_back(self, slot: int) -> None:
        self.pick_up(slot)
        self._free.append(slot)

    def remove(self) -> None:
        if self.path is not None:
            Path(self.path).unlink(missing_ok=True)


def executing(path: str) -> frozenset[str]:
    """The runs whose code was executing when the process that wrote this file died."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        return frozenset()
    slots = (content[begin : begin + _SLOT_BYTES] for begin in range(0, len(content), _SLOT_BYTES))
    return frozenset(slot[1:].split(b"\0", 1)[0].decode(errors="replace") for slot in slots if slot[:1] == b"\1")


@types.coroutine
def watched(coroutine: Coroutine[Any, Any, Any], run_id: str, crumbs: Crumbs) -> Generator[Any, Any, Any]:
    """Drive a coroutine with its run's crumb down while its code executes, not while it is suspended."""
    step, value = coroutine.send, None
    while True:
        crumbs.drop(run_id)
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
