"""Hears that a file is written to, by this process or another, so that a thread with nothing to do need not look: inotify, on Linux."""

import ctypes
import os
import select
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

IN_MODIFY, IN_IGNORED = 0x2, 0x8000
READ_BYTES = 4096
MASK = slice(4, 8)  # of an event: which watch, what happened, two numbers that mean nothing here
EVENT_BYTES = 16


class Ear:
    """Used by one thread, but for `wake`. Not every file system tells: only `is_proven` says that something was ever heard."""

    def __init__(self, events: int, bell: int) -> None:
        self.is_proven = False
        self._events = events
        self._bell = bell
        self._poll = select.poll()
        self._poll.register(events, select.POLLIN)
        self._poll.register(bell, select.POLLIN)
        self._is_waiting = False
        self._closing = threading.Lock()

    @classmethod
    def of(cls, path: str) -> Self | None:
        """None where the system has no such thing, or no more of them to give."""
        if sys.platform != "linux":
            return None
        libc = ctypes.CDLL(None, use_errno=True)
        events = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if events < 0:
            return None
        if libc.inotify_add_watch(events, os.fsencode(path), IN_MODIFY) < 0:
            os.close(events)
            return None
        return cls(events, os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))

    def close(self) -> None:
        with self._closing:
            self._is_waiting = False
            os.close(self._events)
            os.close(self._bell)

    def wake(self) -> None:
        """From any thread: whoever waits stops waiting."""
        with self._closing:
            if self._is_waiting:
                os.eventfd_write(self._bell, 1)

    def listen(self, seconds: float, is_needless: Callable[[], bool]) -> bool:
        """Until something is heard, which it tells, or until `wake`, or until the time is over."""
        self._is_waiting = True
        try:
            # Asked only now: who makes it needless and then calls `wake` is either seen here or wakes.
            return not is_needless() and self._hears(seconds)
        finally:
            self._is_waiting = False

    def prove(self) -> bool:
        self.is_proven = self.is_proven or self._hears(0)
        return self.is_proven

    def _hears(self, seconds: float) -> bool:
        return any(descriptor == self._events for descriptor, _ in self._poll.poll(seconds * 1000))

    def forget(self) -> bool:
        """What was heard until now. False: the file is gone, and nothing will be heard any more."""
        with suppress(BlockingIOError):  # nobody has rung
            os.eventfd_read(self._bell)
        try:
            heard = os.read(self._events, READ_BYTES)
        except BlockingIOError:
            return True
        masks = (int.from_bytes(heard[at:][MASK], sys.byteorder) for at in range(0, len(heard), EVENT_BYTES))
        return not any(mask & IN_IGNORED for mask in masks)
