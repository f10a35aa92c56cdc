"""Runs that nobody who is alive can take: their workflow or their Python is known to no live worker."""

from collections.abc import AsyncIterator, Sequence

from perdure.clock import Instant, Microseconds
from perdure.model.troubles import Stranded
from perdure.store.postgresql.connections import Connection
from perdure.store.postgresql.requests import moment
from perdure.store.postgresql.scope import Scope
from perdure.store.postgresql.workers import listed
from perdure.store.stranded import Knowledge, fresh, over


async def stranded(db: Connection, scope: Scope, due_for: Microseconds, limit: int) -> Sequence[Stranded]:
    """At most `limit`: runs that have been due for so long, and all that belong to the dead, with nobody to take them."""
    knowledge = Knowledge(await listed(db, scope))
    return await _found(db, scope, await moment(db, scope), due_for, limit, knowledge)


async def _found(db: Connection, scope: Scope, now: Instant, due_for: Microseconds, limit: int, knowledge: Knowledge) -> Sequence[Stranded]:
    found: list[Stranded] = []
    if limit > 0:
        async for one in _candidates(db, scope, now, due_for, limit, knowledge):
            found.append(one)
            if len(found) >= limit:
                break
    return found


async def _candidates(
    db: Connection, scope: Scope, now: Instant, due_for: Microseconds, limit: int, knowledge: Knowledge
) -> AsyncIterator[Stranded]:
    for workflow, only_python in await db.fetch(scope.sql("troubles", "due_groups"), scope.namespace):
        if only_python not in knowledge.pythons(workflow):
            values = (scope.namespace, workflow, only_python, now - due_for, limit)
            for run_id, wake_at in await db.fetch(scope.sql("troubles", "long_due"), *values):
                yield Stranded(run_id, workflow, only_python, wake_at)
    for owner in await dead_owners(db, scope):
        for (workflow,) in await db.fetch(scope.sql("troubles", "workflows_of"), scope.namespace, owner):
            takers = sorted(knowledge.pythons(workflow))
            for (run_id,) in await db.fetch(scope.sql("troubles", "orphans"), scope.namespace, owner, workflow, takers, limit):
                yield Stranded(run_id, workflow, "", None)


async def dead_owners(db: Connection, scope: Scope) -> Sequence[str]:
    return [row[0] for row in await db.fetch(scope.sql("claims", "dead_owners"), scope.namespace)]


async def note(db: Connection, scope: Scope, due_for: Microseconds, most: int) -> None:
    """Each is told once. Bounded: no more than `most` are noted at a time."""
    now = await moment(db, scope)
    known = [tuple(row) for row in await db.fetch(scope.sql("troubles", "stranded"), scope.namespace)]
    knowledge = Knowledge(await listed(db, scope))
    gone = over(scope.namespace, now, known, knowledge, set(await dead_owners(db, scope)))
    room = most - len(known) + len(gone)
    found = await _found(db, scope, now, due_for, most if room > 0 else 0, knowledge)
    if gone:
        await db.executemany(scope.sql("troubles", "forget"), gone)
    if news := fresh(scope.namespace, now, due_for, known, found)[:room]:
        await db.executemany(scope.sql("troubles", "note_stranded"), news)
