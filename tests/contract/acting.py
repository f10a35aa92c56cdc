"""What the contract tests act with: a clock that stands still, workers that count their checkpoints, short ways to write changes."""

from collections.abc import Sequence
from typing import Any

from perdure.clock import SECOND
from perdure.model.generations import RetryPoint
from perdure.model.records import NewRecord, Record, RecordKind
from perdure.model.runs import NewRun, NewSignal, WorkerRow
from perdure.model.states import RunState
from perdure.store.endings import Finish, Park
from perdure.store.protocol import Change, Checkpoint, Claimed, Claims, Committed, Store

START = 1_750_000_000 * SECOND
LEASE = 10 * SECOND
LIMIT = 10_000


class ManualClock:
    """Moves only when it is told to; what it says since boot never goes back."""

    def __init__(self) -> None:
        self.wall = START
        self.boot = 500 * SECOND

    def now(self) -> int:
        return self.wall

    def since_boot(self) -> int:
        return self.boot

    def advance(self, seconds: float) -> None:
        self.wall += round(seconds * SECOND)
        self.boot += round(seconds * SECOND)

    def jump(self, seconds: float) -> None:
        """As when an administrator sets the wall clock."""
        self.wall += round(seconds * SECOND)


def worker_row(incarnation: str, *workflows: str, lock: str = "") -> WorkerRow:
    return WorkerRow(incarnation, "host", "boot", 1, lock or f"{incarnation}.lock", workflows or ("flow",), "3.11", "live", 0, 0, START)


class Worker:
    """One incarnation on one store. It counts its checkpoints as an engine does: only those that were committed."""

    def __init__(self, store: Store, incarnation: str, *workflows: str, python: str = "3.11") -> None:
        self.store = store
        self.incarnation = incarnation
        self.workflows = workflows or ("flow",)
        self.python = python
        self.number = 0

    async def register(self) -> "Worker":
        await self.store.register(worker_row(self.incarnation, *self.workflows), LEASE)
        return self

    async def commit(self, *changes: Change, room: int | None = None, lists_owned: bool = False, is_alone: bool = False) -> Committed:
        claims = None if room is None else Claims(room, self.workflows, self.python, is_alone)
        committed = await self.store.checkpoint(Checkpoint(self.incarnation, self.number + 1, LEASE, changes, claims, lists_owned))
        self.number += 1
        return committed

    async def claim(self, room: int = 100, is_alone: bool = False) -> Sequence[Claimed]:
        return (await self.commit(room=room, is_alone=is_alone)).claimed

    async def dies(self, *executing: str, was_alone: bool = True) -> None:
        """Its process is gone; whoever sweeps says whose code was executing."""
        (seen,) = [row for row in await self.store.workers() if row.incarnation == self.incarnation]
        assert await self.store.declare_dead(self.incarnation, seen.expires_at, frozenset(executing), was_alone=was_alone)

    async def run(self, run_id: str) -> "Mine":
        """Start a run and own it."""
        await self.store.start(new_run(run_id, self.workflows[0]))
        claimed = {one.row.id: one for one in await self.claim()}
        started = claimed[run_id].started
        assert started is not None
        return Mine(self, run_id, started.at)


class Mine:
    """A run that a worker owns, and where its history ends."""

    def __init__(self, worker: Worker, run_id: str, at: int, position: int = 1, generation: int = 0) -> None:
        self.worker = worker
        self.id = run_id
        self.position = position
        self.at = at
        self.generation = generation

    def change(self, *records: NewRecord, **rest: Any) -> Change:
        return Change(self.id, self.generation, self.position, self.at, list(records), **rest)

    async def write(self, *records: NewRecord, **rest: Any) -> Sequence[Record]:
        """Commit one change of this run alone."""
        (written,) = (await self.worker.commit(self.change(*records, **rest))).written
        if written.records:
            self.position, self.at = written.records[-1].position, written.records[-1].at
        return written.records

    async def park(self, wake_at: int | None = None) -> None:
        (written,) = (await self.worker.commit(self.change(ending=Park(wake_at, b"[]")))).written
        assert written.has_left

    async def finish(self, state: RunState = RunState.COMPLETED) -> None:
        ended = NewRecord(RecordKind.COMPLETED, output=b"1")
        if state is RunState.FAILED:
            ended = NewRecord(RecordKind.FAILED, input=RetryPoint(self.position + 1).encoded(), error=b"{}")
        await self.write(ending=Finish(state, ended))


def new_run(run_id: str, workflow: str = "flow", input: bytes = b"{}", input_hash: bytes = b"hash") -> NewRun:
    return NewRun(run_id, workflow, input, input_hash, b"seed")


def step(command: int = 0, output: bytes = b"1", name: str = "work") -> NewRecord:
    return NewRecord(RecordKind.STEP, name, command, b"digest", None, output, None, 1)


def signal(run_id: str, id: str, topic: str = "paid", payload: bytes = b"1", key: str | None = None) -> NewSignal:
    return NewSignal(run_id, id, topic, payload, key)


async def history_of(store: Store, run_id: str) -> list[Record]:
    """Of all generations."""
    return [record for records in (await store.history(run_id)).values() for record in records]


def kinds(records: Sequence[Record]) -> list[str]:
    return [str(record.kind) for record in records]


def ids(claimed: Sequence[Claimed]) -> list[str]:
    return [one.row.id for one in claimed]
