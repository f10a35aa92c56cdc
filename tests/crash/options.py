"""What a process of these tests is told to do, and what is to happen to it."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Self

QUICK: dict[str, Any] = {"renew_seconds": 0.25, "sweep_seconds": 0.15, "poll_seconds": 0.1, "drain_seconds": 5.0}
"""Settings under which what takes seconds by default takes tenths. Whoever dies lets go of its lock, so leases may last as by default."""

SHORT_LEASE: dict[str, Any] = {"lease_seconds": 1.0}
"""For processes that are stopped past their lease. A machine that is busy enough lets it run out also elsewhere."""


@dataclass(frozen=True, slots=True)
class Crash:
    """At the kth passing of a named point of the engine: kill this process, stop it (SIGSTOP), or only tell."""

    point: str
    kth: int = 1
    do: str = "kill"


@dataclass(frozen=True, slots=True)
class Fault:
    """At the kth disk operation, until that given: kill, tear (write half and die), stop, delay, or raise EIO, ENOSPC, EROFS.

    `on`: write, sync, any. `file`: db, wal, any. `after`: when the operation has been done rather than before it.
    """

    on: str = "any"
    kth: int = 1
    do: str = "kill"
    until: int | None = None
    file: str = "any"
    after: bool = False
    seconds: float = 0.0
    from_ready: bool = False  # count from when the process is ready


@dataclass(frozen=True, slots=True)
class Action:
    """Something a client does and tells the ledger when it is acknowledged. `do`: start, recorded, or a method of runs."""

    do: str
    run: str
    name: str = ""  # of the workflow, or the topic
    values: tuple[Any, ...] = ()
    key: str | None = None


Lane = tuple[Action, ...]
"""Actions one after the other; lanes go side by side."""


@dataclass(frozen=True, slots=True)
class Options:
    """One process: a worker, or with role="client" a client only. With `lanes`, it ends when they are done, unless it `stays`."""

    store: str  # the path of a file, or an address
    effects: str
    gates: str
    role: str = "worker"
    settings: dict[str, Any] = field(default_factory=lambda: dict(QUICK))
    workflows: tuple[str, ...] | None = None
    lanes: tuple[Lane, ...] = ()
    stays: bool = False
    crash: Crash | None = None
    fault: Fault | None = None
    tells: tuple[str, ...] = ("fence.lost",)
    counts: bool = False  # tell at the end how often each point was passed and how many operations the disk had
    journal: str | None = None  # where to keep everything that is done to the disk, for power loss
    wal_pages_most: int | None = None  # copy the WAL into the database after so many pages
    unsafe: bool = False  # PRAGMA synchronous=OFF: the control that must lose
    files_most: int | None = None
    file_bytes_most: int | None = None
    collects_garbage: bool = False
    clock_moved: float = 0.0  # seconds by which its wall clock is wrong
    elsewhere: str | None = None  # where it keeps its temporary files: workers of another host see none of them

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        values = json.loads(text)
        values["crash"] = values["crash"] and Crash(**values["crash"])
        values["fault"] = values["fault"] and Fault(**values["fault"])
        values["lanes"] = tuple(tuple(Action(**action) for action in lane) for lane in values["lanes"])
        return cls(**values)
