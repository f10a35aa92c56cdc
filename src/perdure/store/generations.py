"""The generations of a run: each has records of its own, and may share what came before them with another."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from perdure.clock import Instant
from perdure.errors import CorruptedHistory
from perdure.store.rows import Row

ALL_POSITIONS = 2**62
FIRST = 0


@dataclass(frozen=True, slots=True)
class Generation:
    """`base_generation` is the one whose history it shares up to `base_position`; None shares nothing."""

    number: int
    reason: str  # continue | retry
    base_generation: int | None
    base_position: int
    key_generation: int
    input: bytes | None  # None: that of the run

    def checksum(self) -> int:
        head = f"{self.number}|{self.reason}|{self.base_generation}|{self.base_position}|{self.key_generation}"
        return zlib.crc32(b"\0" if self.input is None else self.input, zlib.crc32(head.encode()))


@dataclass(frozen=True, slots=True)
class Part:
    """Records of one generation, those after one position up to another."""

    generation: int
    after: int
    upto: int


def checked_generation(run_id: str, number: int, row: Row | None) -> Generation:
    """From the columns of `generations.generation`. Raises CorruptedHistory where it is not what was written."""
    if number == FIRST:
        return Generation(FIRST, "start", None, 0, FIRST, None)
    if row is None:
        raise CorruptedHistory(f"run {run_id}: nothing is known of its generation {number}")
    found = Generation(number, *row[:5])
    if found.checksum() != row[5]:
        raise CorruptedHistory(f"run {run_id}: what is known of its generation {number} is damaged: its checksum does not match")
    return found


def lineage_of(run_id: str, number: int, generation: Callable[[int], Generation]) -> Sequence[Part]:
    """Where the whole history of a generation stands, in order. Raises CorruptedHistory."""
    parts, upto = [], ALL_POSITIONS
    looked_at: int | None = number
    while looked_at is not None:
        found = generation(looked_at)
        if found.base_generation is not None and found.base_generation >= looked_at:
            raise CorruptedHistory(f"run {run_id}: its generation {looked_at} is said to follow generation {found.base_generation}")
        parts.append(Part(looked_at, found.base_position, upto))
        upto = min(upto, found.base_position)
        looked_at = found.base_generation
    return parts[::-1]


def generation_row(namespace: str, run_id: str, opened: Generation, at: Instant) -> Row:
    return (
        namespace,
        run_id,
        opened.number,
        opened.reason,
        opened.base_generation,
        opened.base_position,
        opened.key_generation,
        opened.input,
        opened.checksum(),
        at,
    )
