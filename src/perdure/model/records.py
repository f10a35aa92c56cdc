"""The entries of a run's history."""

import zlib
from enum import StrEnum
from typing import NamedTuple

from perdure.clock import Instant


class RecordKind(StrEnum):
    STARTED = "started"
    STEP = "step"
    STEP_FAILED = "step_failed"
    TIMER = "timer"
    SIGNAL = "signal"
    CANCEL = "cancel"
    COMPENSATED = "compensated"
    COMPENSATION_FAILED = "compensation_failed"
    PATCHED = "patched"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CONTINUED = "continued"


ENDS = frozenset({RecordKind.COMPLETED, RecordKind.FAILED, RecordKind.CANCELLED})
"""The last record of a run that has ended."""

_ABSENT = b"\0"

# Named tuples, for they are made on the hot path: a frozen dataclass takes three times as long.


class NewRecord(NamedTuple):
    """What a run has to record; its position and time are given when the batch is built."""

    kind: RecordKind
    name: str = ""
    command: int | None = None
    digest: bytes | None = None
    input: bytes | None = None
    output: bytes | None = None
    error: bytes | None = None
    attempt: int = 0

    @property
    def size(self) -> int:
        """Bytes of payload, for the bound on a batch."""
        return len(self.input or b"") + len(self.output or b"") + len(self.error or b"") + 64


class Record(NamedTuple):
    """One entry of a history. `command` is the number of the step's command or of the timer (numbered apart)."""

    position: int
    at: Instant
    kind: RecordKind
    name: str = ""
    command: int | None = None
    digest: bytes | None = None
    input: bytes | None = None
    output: bytes | None = None
    error: bytes | None = None
    attempt: int = 0

    @property
    def size(self) -> int:
        """Bytes of payload, for the bound on what is loaded at once."""
        return len(self.input or b"") + len(self.output or b"") + len(self.error or b"") + 64

    def checksum(self) -> int:
        """Over everything but the time's unit: a flipped bit anywhere in the row is seen when it is read."""
        position, at, kind, name, command, digest, given, output, error, attempt = self
        parts = (
            f"{position}|{at}|{kind}|{name}|{command}|{attempt}".encode(),
            _ABSENT if digest is None else digest,
            _ABSENT if given is None else given,
            _ABSENT if output is None else output,
            _ABSENT if error is None else error,
        )
        return zlib.crc32(b"\0".join(parts))
