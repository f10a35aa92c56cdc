"""What stands in the store, read past the product: plain SQL on a connection that cannot write."""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import apsw

FINAL = {"completed", "failed", "cancelled"}
RESULTS = {"step", "compensated"}
STEPS = {*RESULTS, "step_failed", "compensation_failed"}
Key = tuple[str, int, int]
"""Run, generation, command."""


@dataclass(frozen=True, slots=True)
class RunLine:
    id: str
    workflow: str
    state: str
    generation: int
    owner: str | None
    wake_at: int | None
    waiting_for: bytes | None
    error: bytes | None
    created_at: int
    ended_at: int | None

    @property
    def is_final(self) -> bool:
        return self.state in FINAL


@dataclass(frozen=True, slots=True)
class HistoryLine:
    run: str
    generation: int
    position: int
    at: int
    kind: str
    name: str
    command: int | None
    output: bytes | None
    error: bytes | None
    attempt: int
    checksum: int
    key_generation: int

    @property
    def key(self) -> Key:
        return (self.run, self.key_generation, -1 if self.command is None else self.command)

    @property
    def value(self) -> Any:
        return None if self.output is None else json.loads(self.output)


@dataclass(frozen=True, slots=True)
class WorkerLine:
    incarnation: str
    pid: int
    lock: str
    state: str
    checkpoint: int
    expires_at: int


class StoreView:
    """One connection, opened with the first question."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._db: apsw.Connection | None = None

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Nothing where there is no store yet."""
        try:
            if self._db is None:
                self._db = apsw.Connection(self.path, flags=apsw.SQLITE_OPEN_READONLY)
                self._db.set_busy_timeout(10_000)
            return list(self._db.execute(sql, values))
        except apsw.CantOpenError:
            self.close()
            return []
        except apsw.SQLError as error:
            if "no such table" not in str(error):
                raise
            return []

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def is_writable(self) -> bool:
        """Whether nobody holds the lock for writing at this moment."""
        db = apsw.Connection(self.path, flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            db.execute("begin immediate")
            db.execute("rollback")
        except apsw.BusyError:
            return False
        finally:
            db.close()
        return True

    def runs(self) -> list[RunLine]:
        sql = "select id, workflow, state, generation, owner, wake_at, waiting_for, error, created_at, ended_at from runs order by id"
        return [RunLine(*row) for row in self.rows(sql)]

    def run(self, run_id: str) -> RunLine | None:
        return next((run for run in self.runs() if run.id == run_id), None)

    def state(self, run_id: str) -> str | None:
        found = self.rows("select state from runs where id = ?", run_id)
        return found[0][0] if found else None

    def unfinished(self) -> int:
        found = self.rows("select count(*) from runs where ended_at is null")
        return found[0][0] if found else 0

    def poisoned(self) -> list[str]:
        """Quarantined because processes died under their code."""
        return [
            run_id
            for (run_id,) in self.rows("select id from runs where state = 'quarantined' and cast(error as text) like '%PoisonedRun%'")
        ]

    def histories(self) -> dict[str, list[HistoryLine]]:
        """Of every run, in order."""
        sql = (
            "select run_id, generation, position, at, kind, name, command, output, error, attempt, history.checksum, "
            "coalesce(key_generation, generation) from history left join generations using (namespace, run_id, generation) "
            "order by run_id, generation, position"
        )
        histories: dict[str, list[HistoryLine]] = defaultdict(list)
        for row in self.rows(sql):
            histories[row[0]].append(HistoryLine(*row))
        return histories

    def shared(self) -> dict[tuple[str, int], tuple[int, int]]:
        """Of generations that go on with the history of another: which, and up to which position."""
        sql = "select run_id, generation, base_generation, base_position from generations where base_generation is not null"
        return {(row[0], row[1]): (row[2], row[3]) for row in self.rows(sql)}

    def history(self, run_id: str) -> list[HistoryLine]:
        return self.histories().get(run_id, [])

    def records(self, run_id: str) -> int:
        found = self.rows("select count(*) from history where run_id = ?", run_id)
        return found[0][0] if found else 0

    def workers(self) -> list[WorkerLine]:
        return [WorkerLine(*row) for row in self.rows("select incarnation, pid, lock, state, checkpoint, expires_at from workers")]

    def worker(self, pid: int) -> WorkerLine | None:
        """The last one registered by this process."""
        found = [
            WorkerLine(*row)
            for row in self.rows("select incarnation, pid, lock, state, checkpoint, expires_at from workers order by started_at")
        ]
        return next((line for line in reversed(found) if line.pid == pid), None)

    def owned_by(self, pid: int) -> int:
        """How many unfinished runs belong to a live worker of this process."""
        sql = "select count(*) from runs join workers on runs.owner = workers.incarnation where workers.pid = ? and workers.state = 'live'"
        found = self.rows(sql, pid)
        return found[0][0] if found else 0

    def attempts(self) -> list[tuple[str, int, int, int | None]]:
        """Run, command, failures, next try."""
        return [(row[0], row[1], row[2], row[3]) for row in self.rows("select run_id, command, failures, next_at from attempts")]

    def inbox(self) -> list[tuple[str, str, Any]]:
        """Run, topic, payload, in order of arrival."""
        return [
            (row[0], row[1], json.loads(row[2])) for row in self.rows("select run_id, topic, payload from inbox order by run_id, number")
        ]

    def keys(self) -> set[tuple[str, str]]:
        return {(row[0], row[1]) for row in self.rows("select run_id, key from signal_keys")}

    def integrity(self) -> str:
        return str((self.rows("pragma integrity_check") or [("ok",)])[0][0])

    @contextmanager
    def one_moment(self) -> "Iterator[None]":
        """All that is read inside is of one moment."""
        self.rows("begin")
        try:
            yield
        finally:
            self.rows("commit")
