"""What somebody should look at: a run that failed, was quarantined, or is stranded."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from perdure.clock import Instant


class TroubleKind(StrEnum):
    FAILED = "failed"
    QUARANTINED = "quarantined"
    STRANDED = "stranded"


@dataclass(frozen=True, slots=True)
class TroubleRow:
    """As the store gives it out. `tries`: how often it was given out, this time included."""

    run_id: str
    workflow: str
    kind: TroubleKind
    at: Instant
    tries: int
    error: bytes | None


@dataclass(frozen=True, slots=True)
class Stranded:
    """A run that no live worker can take. `due_since` None: it belongs to a dead worker, nobody knows since when it waits."""

    run_id: str
    workflow: str
    only_python: str
    due_since: Instant | None


@dataclass(frozen=True, slots=True)
class Trouble:
    """What `on_trouble` is called with. `error` has type, message and traceback; None of a stranded run.

    `kind`: failed; quarantined (it goes on after the code is fixed and the run is resumed); stranded (no live worker knows its workflow).
    """

    run_id: str
    workflow: str
    kind: str
    error: dict[str, Any] | None
    at: datetime

    @property
    def key(self) -> str:
        """The same for every time one trouble is told: a crash at the wrong moment tells it twice."""
        return f"{self.run_id}/{self.kind}/{self.at.isoformat()}"
