"""What a check found: about the code, and about runs."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The first five fail a check: such a run would not go on. The others are for people to judge."""

    CODE = "code"
    DIVERGES = "diverges"
    REFUSED = "refused"
    BREAKS = "breaks"
    DAMAGED = "damaged"
    CHANGED = "changed"
    ENDS = "ends"
    MATCHES = "matches"
    PYTHON = "python"
    LENGTH = "length"
    INBOX = "inbox"
    WORKFLOW = "workflow"

    @property
    def fails(self) -> bool:
        return self in _FAILS


_FAILS = frozenset({Kind.CODE, Kind.DIVERGES, Kind.REFUSED, Kind.BREAKS, Kind.DAMAGED})


@dataclass(frozen=True, slots=True)
class Finding:
    """`where`: a run's id, a file, or a line of code as `file:line:column`."""

    kind: Kind
    where: str
    text: str
    workflow: str | None = None
    state: str | None = None

    def document(self) -> dict[str, Any]:
        return {"level": "error" if self.kind.fails else "warning", **asdict(self), "kind": self.kind.value}


def finding_of(document: dict[str, Any]) -> Finding:
    """From what a process that replays has answered."""
    return Finding(Kind(document["kind"]), document["where"], document["text"], document["workflow"], document["state"])
