"""Holds what a worker knows against what is there."""

from collections.abc import Sequence

from perdure.model.lost_records import Known, LostRecords
from perdure.model.troubles import TroubleKind
from perdure.store.lost_records import failure, lost
from perdure.store.postgresql.connections import Connection
from perdure.store.postgresql.scope import Scope


async def set_aside_lost(db: Connection, scope: Scope, known: Sequence[Known]) -> Sequence[LostRecords]:
    rows = await db.fetch(scope.sql("runs", "last_positions"), scope.namespace, [one.run_id for one in known])
    told = lost(known, [tuple(row) for row in rows])
    now = await db.fetchval(scope.sql("checkpoints", "now"), scope.now())
    for one, is_unfinished in told:
        if is_unfinished:
            await db.execute(scope.sql("claims", "set_aside"), scope.namespace, one.known.run_id, failure(one))
            await db.execute(scope.sql("checkpoints", "trouble"), scope.namespace, one.known.run_id, str(TroubleKind.QUARANTINED), now)
    return [one for one, _ in told]
