"""The store as its commits have made it: a copy in memory, kept by the auditor."""

from dataclasses import dataclass, field
from typing import Any

FINAL = frozenset({"completed", "failed", "cancelled"})


@dataclass(slots=True)
class RunShadow:
    id: str
    state: str
    owner: str | None
    wake_at: int | None
    workflow: str
    changed_at: int
    life: int
    """The first under this id, the second after that was deleted, …"""
    records: list[dict[str, Any]] = field(default_factory=list)
    steps: dict[int, dict[str, Any]] = field(default_factory=dict)
    timers: set[int] = field(default_factory=set)
    attempts: dict[int, dict[str, Any]] = field(default_factory=dict)
    inbox: dict[int, dict[str, Any]] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    owners: list[str] = field(default_factory=list)
    resumptions: int = 0
    """How often it was taken up again by somebody: resumed or retried, which gives up what was under way."""
    retries: int = 0
    generation: int = 0
    """That of `records`, `steps` and `timers`."""
    key_generation: int = 0
    to_be_retried: dict[int, str] = field(default_factory=dict)
    """Steps that failed before its last retry, by command: they are tried anew under their keys."""
    fencing: int = 0
    token: str = ""
    """The highest that a body was given."""
    is_to_be_cancelled: bool = False
    """Somebody was told that it is."""
    heard: list[dict[str, Any]] = field(default_factory=list)
    """Records of signals of all generations, those that were carried from one to the next once."""

    @property
    def is_final(self) -> bool:
        return self.state in FINAL


@dataclass(slots=True)
class Shadow:
    runs: dict[str, RunShadow] = field(default_factory=dict)
    unfinished: set[str] = field(default_factory=set)
    """Runs that neither have ended nor are quarantined."""
    workers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Those that are buried stay here, dead."""
    hosts: dict[str, str] = field(default_factory=dict)
    """Incarnation -> the process it lives in."""
    registered: dict[str, int] = field(default_factory=dict)
    """Incarnation -> since when."""
    deleted: set[str] = field(default_factory=set)
    deleted_at: int = 0
    """The last time that one was."""
    lives: dict[str, int] = field(default_factory=dict)
    """Run id -> how many runs have come under it."""
