"""The effect ledger: what step bodies really did, kept outside the database by a process that nobody kills."""

import json
import os
import select
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

_MESSAGE_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Effect:
    """One line. `at` is the sender's wall clock in microseconds when it was sent; lines stand in the order they arrived."""

    at: int
    pid: int
    what: str
    data: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.data.get(name)


class EffectServer:
    """Takes one datagram per effect: it is whole or not there, and what was sent outlives its sender."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="perdure-")  # short: the path of a Unix socket has 108 bytes
        self.path = str(Path(self._folder.name, "effects"))
        self._effects: list[Effect] = []
        self._taking = threading.Lock()
        self._is_over = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._thread = threading.Thread(target=self._serve, name="effects", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.connect(self.path)
            last.send(b"")  # wakes the thread
        self._thread.join()
        self._socket.close()
        self._folder.cleanup()

    def _serve(self) -> None:
        """Keep the queue empty, or whoever tells would have to wait: the kernel keeps only some lines."""
        while not self._is_over:
            select.select([self._socket], [], [])
            self._take()

    def _take(self) -> None:
        with self._taking:
            while True:
                try:
                    message = self._socket.recv(_MESSAGE_BYTES, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    return
                if message:
                    self._effects.append(Effect(*json.loads(message)))

    @property
    def effects(self) -> list[Effect]:
        """Everything that was told before now: what a process said before it died is there when it is known to be dead."""
        self._take()
        return self._effects

    def of(self, what: str, **wanted: Any) -> list[Effect]:
        """Those of one kind whose data holds what is wanted; `pid` is compared too."""
        pid = wanted.pop("pid", None)
        found = [effect for effect in list(self.effects) if effect.what == what and pid in (None, effect.pid)]
        return [effect for effect in found if all(effect[name] == value for name, value in wanted.items())]


_connection: socket.socket | None = None
_listeners: list[Callable[[int, str, dict[str, Any]], None]] = []


def listen(listener: Callable[[int, str, dict[str, Any]], None]) -> None:
    """Also give this process's own lines to somebody: when, what, data."""
    _listeners.append(listener)


def connect(path: str) -> None:
    """Let `tell` of this process reach the server at this path."""
    global _connection
    _connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    _connection.connect(path)


def tell(what: str, **data: Any) -> None:
    """When it returns, the line is kept whatever becomes of this process. From any thread."""
    assert _connection is not None, "connect() comes first"
    at = time.time_ns() // 1000
    _connection.send(json.dumps([at, os.getpid(), what, data]).encode())
    for listener in _listeners:
        listener(at, what, data)
