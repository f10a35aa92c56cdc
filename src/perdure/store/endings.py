"""What ends a run's stay with its owner, as a checkpoint writes it."""

from collections.abc import Sequence
from dataclasses import dataclass

from perdure.clock import Instant
from perdure.model.records import NewRecord
from perdure.model.states import RunState


@dataclass(frozen=True, slots=True)
class Park:
    """Give the run up until `wake_at` (None: until a signal). Holds only if nothing but marks is recorded and the inbox is empty."""

    wake_at: Instant | None
    waiting_for: bytes


@dataclass(frozen=True, slots=True)
class Release:
    """Give the run up at once, for another worker (or this one, later) to claim."""

    wake_at: Instant | None = None  # None: now
    needs_python: bool = False


@dataclass(frozen=True, slots=True)
class Quarantine:
    error: bytes


@dataclass(frozen=True, slots=True)
class Finish:
    """The last record of the run. Its inbox, requests and attempts go with it.

    Where a cancel waits for the run it is recorded first and the run ends cancelled; the error stays with it. `stands`: not so.
    """

    state: RunState
    record: NewRecord
    stands: bool = False


@dataclass(frozen=True, slots=True)
class PutAside:
    """Give the run up until it is resumed. Holds only if that is still wanted and this change records nothing."""

    waiting_for: bytes


@dataclass(frozen=True, slots=True)
class Continue:
    """The last record of this generation. The next one has `input`, begins with a `started` record and `carried`, and is due at once.

    Signals in the inbox and requests wait for it as they are. The history of this generation is kept, older ones are outdated.
    """

    record: NewRecord
    input: bytes
    carried: Sequence[NewRecord] = ()
    python: str = ""  # the minor that begins the new history


Ending = Park | Release | Quarantine | Finish | PutAside | Continue


def size_of_ending(ending: Ending) -> int:
    """Bytes of the records it writes, for the bound on a batch."""
    match ending:
        case Finish(record=record):
            return record.size
        case Continue(record=record, input=given, carried=carried):
            return record.size + len(given) + sum(one.size for one in carried)
    return 0
