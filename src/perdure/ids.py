"""Names made by whoever needs them, so that no store has to hand them out."""

import os
from typing import Protocol

from perdure.clock import Instant

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ID_BYTES = 10
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


class Entropy(Protocol):
    """Where random bytes come from: the operating system, or a seed in a simulation."""

    def bytes(self, count: int) -> bytes: ...


class OsEntropy:
    """The operating system's random bytes; safe after a fork."""

    def bytes(self, count: int) -> bytes:
        return os.urandom(count)


def new_id(now: Instant, entropy: Entropy) -> str:
    """26 characters that sort by the millisecond they were made in and cannot be guessed (48 bits of time, 80 random)."""
    return id_of(now, entropy.bytes(ID_BYTES))


def id_of(now: Instant, chance: bytes) -> str:
    """The same from random bytes at hand."""
    number = (now // 1000 & (1 << 48) - 1) << 80 | int.from_bytes(chance)
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])
