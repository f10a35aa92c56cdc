"""Which histories are replayed: unfinished runs of a store, and exported files, in portions for processes beside each other."""

import os
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from perdure.cli.checking.children import Job
from perdure.cli.complaints import Complaint
from perdure.store.inspection import Inspection

PORTION_MOST = 100  # runs that one process reads and replays at a time
PAGE = 5000
RUNS_WORTH_A_PROCESS = 300
PORTIONS_EACH = 4  # so that no process is left with the longest portion while the others are done


@dataclass(slots=True)
class Work:
    """What is to be replayed. `unknown`: how many runs are of workflows that are not in the app."""

    run_ids: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return len(self.run_ids) + len(self.files)

    def portions(self, processes: int) -> Iterator[Job]:
        for kind, names in (("files", self.files), ("runs", self.run_ids)):
            size = max(1, min(PORTION_MOST, len(names) // max(1, processes * PORTIONS_EACH)))
            for begin in range(0, len(names), size):
                yield Job(kind, tuple(names[begin : begin + size]))


def list_runs(work: Work, store: Inspection, known: Container[str], workflow: str | None) -> None:
    """Ids only, page by page: what becomes of a run meanwhile is seen when it is read."""
    after = ""
    while page := store.unfinished(workflow=workflow, after=after, limit=PAGE):
        for run_id, name in page:
            if name in known:
                work.run_ids.append(run_id)
            else:
                work.unknown[name] += 1
        after = page[-1][0]


def list_files(work: Work, given: Sequence[str]) -> None:
    """Files as they are, and every *.json of folders and the folders in them."""
    for name in given:
        path = Path(name)
        if path.is_dir():
            found = sorted(str(one) for one in path.rglob("*.json"))
            if not found:
                raise Complaint(f"there is no *.json in the folder {name}", "`perdure run export ID --to FILE` writes one")
            work.files.extend(found)
        elif path.is_file():
            work.files.append(name)
        else:
            raise Complaint(f"there is no file or folder {name}", "HISTORIES are files that `perdure run export` wrote, or folders of them")
    work.files = list(dict.fromkeys(work.files))


def processes_for(count: int) -> int:
    """No more than processors, none for nothing, and no second one for less work than its start would cost."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, -(-count // RUNS_WORTH_A_PROCESS))
