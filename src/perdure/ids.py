"""Names made by whoever needs them, so that no store has to hand them out."""

import os
import threading
from typing import Protocol

from perdure.clock import Instant

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ID_BYTES = 10
PAGE_BYTES = 1024
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


class Entropy(Protocol):
    """Where random bytes come from: the operating system, or a seed in a simulation."""

    def bytes(self, count: int) -> bytes: ...


class OsEntropy:
    """The operating system's random bytes; safe after a fork.

    Fetched a page at a time: each call lets go of the interpreter's lock and may wait to get it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._page = b""
        self._process = 0

    def bytes(self, count: int) -> bytes:
        with self._lock:
            if len(self._page) < count or self._process != os.getpid():
                self._process = os.getpid()  # a child must not hand out what its parent does
                self._page = os.urandom(max(count, PAGE_BYTES))
            taken, self._page = self._page[:count], self._page[count:]
            return taken


def new_id(now: Instant, entropy: Entropy) -> str:
    """26 characters that sort by the millisecond they were made in and cannot be guessed (48 bits of time, 80 random)."""
    return id_of(now, entropy.bytes(ID_BYTES))


def id_of(now: Instant, chance: bytes) -> str:
    """The same from random bytes at hand."""
    number = (now // 1000 & (1 << 48) - 1) << 80 | int.from_bytes(chance)
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])
