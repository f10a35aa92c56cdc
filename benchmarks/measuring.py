"""What every scenario needs: a store of its own, its counts, stop watches, and a count of commits."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import apsw

from perdure import Client

T = TypeVar("T")
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Bench:
    """An empty folder on the disk that is measured, and by how much the counts are reduced."""

    folder: Path
    scale: float = 1.0
    server: str | None = None
    """The address of a PostgreSQL server to measure; None: SQLite."""

    @property
    def store(self) -> Path:
        return self.folder / "bench.db"

    @property
    def url(self) -> str:
        return self.server or f"sqlite:///{self.store.as_posix()}"

    def aim(self, sqlite: float, postgresql: float | None) -> float | None:
        return sqlite if self.server is None else postgresql

    def trips(self) -> "Counter":
        """Transactions on SQLite, statements on PostgreSQL: what each of them waits for is its disk, or its server."""
        if self.server is None:
            return Commits()
        from on_postgresql import Trips

        return Trips()

    async def seconds_to_write(self, only: Mapping[str, str] | None = None) -> float:
        """The floor: the same rows, written by a program that does nothing else."""
        if self.server is None:
            from floor import seconds_to_write

            return seconds_to_write(self.store, only)
        from on_postgresql import seconds_to_copy

        return await seconds_to_copy(self.server, only)

    async def lone_commit_milliseconds(self) -> float:
        if self.server is None:
            from floor import lone_commit_milliseconds

            return lone_commit_milliseconds(self.folder)
        from on_postgresql import lone_commit_milliseconds as on_server

        return await on_server(self.server)

    def count(self, full: int, least: int = 1) -> int:
        return max(least, round(full * self.scale))


def default_folder() -> Path:
    """On a disk: where the folder for temporary files is memory, nothing is ever synced."""
    durable = Path("/var/tmp")
    return durable if durable.is_dir() else Path(tempfile.gettempdir())


class Counter(Protocol):
    count: int


class Commits:
    """Counts what SQLite commits in this process, on every connection that is opened while this exists.

    With `synchronous=FULL` each of these is one sync of the WAL; the renewals of the lease (one in 3 s, not synced) are among them, the
    two syncs of each copying of the WAL into the database (one in 16 MiB) are not.
    """

    def __init__(self) -> None:
        self.count = 0
        apsw.connection_hooks.append(self._watch)

    def _watch(self, connection: apsw.Connection) -> None:
        connection.set_commit_hook(self._committed)

    def _committed(self) -> bool:
        self.count += 1
        return False  # let it commit


@dataclass(slots=True)
class Lap:
    """Wall time, processor time of the process and commits since it was made, or up to `stop`."""

    commits: Counter
    _began: float = field(default_factory=time.perf_counter)
    _cpu_began: float = field(default_factory=time.process_time)
    _commits_began: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    commits_made: int = 0

    def __post_init__(self) -> None:
        self._commits_began = self.commits.count

    def stop(self) -> "Lap":
        self.seconds = time.perf_counter() - self._began
        self.cpu_seconds = time.process_time() - self._cpu_began
        self.commits_made = self.commits.count - self._commits_began
        return self

    def cpu_each(self, count: int) -> float:
        """In microseconds."""
        return self.cpu_seconds / count * 1e6


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


async def in_flight(most: int, work: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Do all of it, at most so many at once, holding nothing of what is done or still to come."""
    todo = iter(work)

    async def go_on() -> None:
        for one in todo:
            await one()

    async with asyncio.TaskGroup() as group:
        for _ in range(most):
            group.create_task(go_on())


async def until_none(client: Client, *states: str, seconds: float = 300) -> None:
    """Return when no run is in one of these states."""
    async with asyncio.timeout(seconds):
        for state in states:
            while (await client.runs(status=state, limit=1)).runs:  # noqa: ASYNC110 - the runs may be another process's: nobody sets an event
                await asyncio.sleep(0.1)


async def until(reached: Callable[[], bool], *, seconds: float = 300, interval: float = 0.01) -> None:
    async with asyncio.timeout(seconds):
        while not reached():  # noqa: ASYNC110 - what is counted is counted by workflow code, in a loop of its own
            await asyncio.sleep(interval)


def another_process(script: str, *arguments: str) -> "subprocess.Popen[str]":
    """A script of this folder, spoken to through its standard input and output."""
    command = [sys.executable, str(HERE / script), *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def resident_bytes(line: str = "VmRSS") -> int:
    """Memory of this process that is in RAM now, or with VmHWM at most ever. Linux only."""
    status = Path("/proc/self/status").read_text()
    return next(int(text.split()[1]) * 1024 for text in status.splitlines() if text.startswith(f"{line}:"))


def processor_share(seconds: float, begin: os.times_result, end: os.times_result) -> float:
    """Percent of one core between two readings."""
    return (end.user + end.system - begin.user - begin.system) / seconds * 100
