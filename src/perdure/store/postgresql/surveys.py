"""What workers look at again and again, in one trip each."""

from collections.abc import Sequence

from perdure.store.postgresql.connections import Connection
from perdure.store.postgresql.scope import Scope
from perdure.store.protocol import Outlook, Survey
from perdure.store.rows import worker_row

ANSWERS = 3  # columns before those of a worker
COLUMNS = 11  # of a worker, and whether its lease is over


async def survey(db: Connection, scope: Scope, workflows: Sequence[str], python: str) -> Survey:
    rows = [tuple(row) for row in await db.fetch(scope.sql("surveys", "survey"), scope.namespace, workflows, python, scope.now())]
    has_missed, has_outdated, is_claimable = rows[0][:ANSWERS]
    known = [row[ANSWERS:] for row in rows if row[ANSWERS] is not None]
    # With the clock of a test whoever asks says whether a lease is over.
    workers = [worker_row(row[:COLUMNS] if scope.clock else row) for row in known]
    return Survey(workers, has_missed, has_outdated, is_claimable)


async def outlook(db: Connection, scope: Scope, workflows: Sequence[str], python: str, owner: str, limit: int) -> Outlook:
    values = (scope.namespace, workflows, python, scope.now(), owner, limit)
    row = await db.fetchrow(scope.sql("surveys", "outlook"), *values)
    assert row is not None
    scope.hear(row[3])
    return Outlook(row[0], row[1], row[2])
