"""The rows of workers: leases and deaths."""

import json
from collections.abc import Sequence

from perdure.clock import Microseconds
from perdure.model.runs import WorkerRow
from perdure.store.poison import poison
from perdure.store.postgresql.connections import Connection
from perdure.store.postgresql.requests import end_cancelled, moment
from perdure.store.postgresql.scope import Scope
from perdure.store.postgresql.signals import changed
from perdure.store.protocol import STRIKES_ALONE, STRIKES_MOST
from perdure.store.rows import worker_row

COLUMNS = 11  # and whether the lease is over


async def register(db: Connection, scope: Scope, worker: WorkerRow, lease: Microseconds) -> None:
    values = (
        scope.namespace,
        worker.incarnation,
        worker.host,
        worker.boot,
        worker.pid,
        worker.lock,
        json.dumps(worker.workflows),
        worker.python,
        lease,
        scope.lease_now(),
        worker.started_at,
    )
    await db.execute(scope.sql("workers", "register"), *values)


async def renew(db: Connection, scope: Scope, incarnation: str, lease: Microseconds) -> bool:
    return changed(await db.execute(scope.sql("workers", "renew"), scope.namespace, incarnation, lease, scope.lease_now())) == 1


async def listed(db: Connection, scope: Scope) -> Sequence[WorkerRow]:
    """Whether their leases are over only the clock of the database can say; with the clock of a test, who asks."""
    rows = await db.fetch(scope.sql("workers", "listed"), scope.namespace)
    return [worker_row(tuple(row)[:COLUMNS] if scope.clock else tuple(row)) for row in rows]


async def declare_dead(
    db: Connection, scope: Scope, incarnation: str, seen_expires_at: Microseconds, executing: frozenset[str], was_alone: bool
) -> bool:
    dead = (scope.namespace, incarnation)
    if changed(await db.execute(scope.sql("workers", "declare_dead"), *dead, seen_expires_at)) != 1:
        return False
    if executing:
        most = STRIKES_MOST if was_alone else STRIKES_ALONE
        await db.execute(scope.sql("workers", "strike"), *dead, sorted(executing), most)
        await db.execute(scope.sql("workers", "trouble_of_poison"), *dead, STRIKES_MOST, await moment(db, scope))
        await db.execute(scope.sql("workers", "quarantine_poison"), *dead, STRIKES_MOST, poison(STRIKES_MOST))
        for run_id in sorted(executing):
            await end_cancelled(db, scope, run_id)
    return True


async def idle_dead(db: Connection, scope: Scope) -> Sequence[tuple[str, str]]:
    """Incarnations and lock files."""
    return [(row[0], row[1]) for row in await db.fetch(scope.sql("workers", "idle_dead"), scope.namespace)]


async def bury(db: Connection, scope: Scope, incarnations: Sequence[str]) -> None:
    await db.execute(scope.sql("workers", "bury"), scope.namespace, incarnations)
