"""The rows of workers: leases, deaths, and the fence that every checkpoint passes."""

import json
from collections.abc import Sequence

import apsw

from perdure.clock import Clock, Microseconds
from perdure.model.runs import WorkerRow
from perdure.store.callers.kinds import SqliteStatements
from perdure.store.poison import poison
from perdure.store.protocol import STRIKES_ALONE, STRIKES_MOST, Checkpoint, FenceLost, NotNext
from perdure.store.rows import worker_row
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.requests import end_cancelled
from perdure.store.sqlite.statements import change, change_each, fetch

SQL = named_queries("workers")


def pass_fence(db: apsw.Connection, namespace: str, clock: Clock, batch: Checkpoint) -> None:
    """The first statement of every checkpoint. Raises FenceLost, or NotNext where another checkpoint is the next."""
    values = (batch.number, clock.since_boot() + batch.lease, namespace, batch.incarnation)
    if change(db, SQL["pass_fence"], values) == 1:
        return
    last = checkpoint_of(db, namespace, batch.incarnation)
    if last is None:
        raise FenceLost(f"worker {batch.incarnation} has been declared dead: its runs belong to others, nothing was written")
    raise NotNext(
        f"worker {batch.incarnation}: checkpoint {batch.number} does not follow the last committed one, {last}; nothing was written"
    )


def checkpoint_of(db: SqliteStatements, namespace: str, incarnation: str) -> int | None:
    rows = fetch(db, SQL["fence"], (namespace, incarnation))
    return rows[0][1] if rows and rows[0][0] == "live" else None


def register(db: apsw.Connection, namespace: str, clock: Clock, worker: WorkerRow, lease: Microseconds) -> None:
    values = (
        namespace,
        worker.incarnation,
        worker.host,
        worker.boot,
        worker.pid,
        worker.lock,
        json.dumps(worker.workflows),
        worker.python,
        clock.since_boot() + lease,
        worker.started_at,
    )
    change(db, SQL["register"], values)


def renew(db: apsw.Connection, namespace: str, clock: Clock, incarnation: str, lease: Microseconds) -> bool:
    return change(db, SQL["renew"], (namespace, incarnation, clock.since_boot() + lease)) == 1


def listed(db: apsw.Connection, namespace: str) -> Sequence[WorkerRow]:
    return [worker_row(row) for row in fetch(db, SQL["listed"], (namespace,))]


def declare_dead(
    db: apsw.Connection,
    namespace: str,
    clock: Clock,
    incarnation: str,
    seen_expires_at: Microseconds,
    executing: frozenset[str],
    was_alone: bool,
) -> bool:
    if change(db, SQL["declare_dead"], (namespace, incarnation, seen_expires_at)) != 1:
        return False
    for run_id in sorted(executing):
        change(db, SQL["strike"], (namespace, incarnation, run_id, STRIKES_MOST if was_alone else STRIKES_ALONE))
    if executing:
        change(db, SQL["trouble_of_poison"], (namespace, incarnation, STRIKES_MOST, clock.now()))
        change(db, SQL["quarantine_poison"], (namespace, incarnation, STRIKES_MOST, poison(STRIKES_MOST)))
        for run_id in sorted(executing):
            end_cancelled(db, namespace, clock, run_id)
    return True


def retire(db: apsw.Connection, namespace: str, incarnation: str) -> None:
    change(db, SQL["retire"], (namespace, incarnation))


def idle_dead(db: apsw.Connection, namespace: str) -> Sequence[tuple[str, str]]:
    """Incarnations and lock files."""
    return [(incarnation, lock) for incarnation, lock in fetch(db, SQL["idle_dead"], (namespace,))]


def bury(db: apsw.Connection, namespace: str, incarnations: Sequence[str]) -> None:
    change_each(db, SQL["bury"], [(namespace, one) for one in incarnations])
