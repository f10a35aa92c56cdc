"""Troubles that somebody is to be told of: given out one holder at a time, kept until they were told."""

import json
from collections.abc import Sequence

from perdure.clock import Microseconds
from perdure.errors import CorruptedHistory
from perdure.model.troubles import TroubleKind, TroubleRow
from perdure.store.postgresql.connections import Connection
from perdure.store.postgresql.runs import last_record, read_run
from perdure.store.postgresql.scope import Scope
from perdure.store.troubles import described


async def take(db: Connection, scope: Scope, limit: int, hold: Microseconds) -> Sequence[TroubleRow]:
    """Those that are not true any more (the run was resumed, retried, deleted) are forgotten instead."""
    taken = []
    rows = await db.fetch(scope.sql("troubles", "take"), scope.namespace, scope.now(), limit, hold)
    for run_id, kind, at, tries in sorted(rows, key=lambda row: row["at"]):
        error = await error_of_end(db, scope, run_id) if kind == TroubleKind.FAILED else None
        trouble = described(await read_run(db, scope, run_id), error, TroubleKind(kind), at, tries)
        if trouble is None:
            await db.execute(scope.sql("troubles", "forget"), scope.namespace, run_id, kind, at)
        else:
            taken.append(trouble)
    return taken


async def error_of_end(db: Connection, scope: Scope, run_id: str) -> bytes | None:
    """What the run failed with. One that is damaged is told as that: it must not keep the others from being told."""
    try:
        last = await last_record(db, scope, run_id)
    except CorruptedHistory as damage:
        return json.dumps({"type": "perdure.errors.CorruptedHistory", "message": str(damage)}).encode()
    return None if last is None else last.error


async def settle(db: Connection, scope: Scope, trouble: TroubleRow, again_after: Microseconds | None) -> None:
    same = (scope.namespace, trouble.run_id, str(trouble.kind), trouble.at)
    if again_after is not None:
        await db.execute(scope.sql("troubles", "put_off"), *same, again_after, scope.now())
    elif trouble.kind is TroubleKind.STRANDED:
        await db.execute(scope.sql("troubles", "told"), *same)  # kept, so that the next look does not find it anew
    else:
        await db.execute(scope.sql("troubles", "forget"), *same)
