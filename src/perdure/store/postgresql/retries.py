"""Retries a failed run: opens a generation that shares its history up to the failure."""

from perdure.errors import NotRetryable
from perdure.model.states import RunState
from perdure.store.changes import history_row
from perdure.store.generations import Generation, Part, generation_row, lineage_of
from perdure.store.postgresql.columns import columns
from perdure.store.postgresql.connections import Connection
from perdure.store.postgresql.generations import generations
from perdure.store.postgresql.requests import existing, moment
from perdure.store.postgresql.runs import last_record, read_part
from perdure.store.postgresql.scope import Scope
from perdure.store.retrying import carried_of, reached_before, retried_from


async def retry(db: Connection, scope: Scope, run_id: str) -> None:
    """Raises RunNotFound, NotRetryable, CorruptedHistory."""
    row = await existing(db, scope, run_id)
    known = await generations(db, scope, run_id)
    if row.state is not RunState.FAILED:
        if not row.state.is_final and known(row.generation).reason == "retry":
            return  # a repeat
        raise NotRetryable(f"run {run_id} is {row.state}: only a failed run can be retried; nothing was changed")
    position = retried_from(row, await last_record(db, scope, run_id))
    parts = [Part(part.generation, max(part.after, position - 1), part.upto) for part in lineage_of(run_id, row.generation, known)]
    later = [record for part in parts for record in await read_part(db, scope, run_id, part)]
    carried = carried_of(row, later)
    now = await moment(db, scope)
    base = known(row.generation)
    opened = Generation(row.generation + 1, "retry", row.generation, position - 1, base.key_generation, base.input)
    await db.execute(scope.sql("checkpoints", "open_generation"), *generation_row(scope.namespace, run_id, opened, now))
    rows = [history_row("", run_id, opened.number, record._replace(position=number))[1:] for number, record in enumerate(carried, position)]
    if rows:
        await db.execute(scope.sql("checkpoints", "insert_records"), scope.namespace, *columns(rows, 0))
    await db.execute(scope.sql("generations", "retry"), scope.namespace, run_id, opened.number, now, reached_before(position, later))
    await db.execute(scope.sql("checkpoints", "clear_strikes"), scope.namespace, run_id)
