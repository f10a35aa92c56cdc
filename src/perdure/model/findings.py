"""What an examination found: of one subject, whether it is as it should be, and what to do if not."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    subject: str
    level: Level
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Unfinished runs of one workflow in one state. `due_since`: the earliest moment at which one of them is or was due."""

    state: str
    workflow: str
    only_python: str
    count: int
    due_since: int | None
