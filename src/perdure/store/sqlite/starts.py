"""Starts runs, and claims them at once for a worker that asks for it."""

from perdure.clock import Clock
from perdure.model.runs import NewRun
from perdure.store.callers.kinds import SqliteStatements
from perdure.store.changes import history_row
from perdure.store.protocol import BadItem, Claimant, Started
from perdure.store.rows import input_checksum
from perdure.store.sqlite.failures import REFUSES_DATA
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.runs import read_run
from perdure.store.sqlite.statements import change
from perdure.store.sqlite.workers import checkpoint_of
from perdure.store.starts import started

INSERT_RUN = named_queries("runs")["insert"]
INSERT_RECORD = named_queries("checkpoints")["insert_record"]


def start(db: SqliteStatements, namespace: str, clock: Clock, run: NewRun, claimant: Claimant | None) -> Started:
    """Nobody can have claimed a new run before, so neither can it be a suspect, nor is anything searched for."""
    if claimant is not None and checkpoint_of(db, namespace, claimant.incarnation) is None:
        claimant = None  # declared dead, or it has left
    new = started(run, clock.now(), claimant)
    row = new.row
    checksum = input_checksum(row)
    values = (
        namespace,
        row.id,
        row.workflow,
        row.state,
        row.input,
        row.input_hash,
        row.seed,
        checksum,
        row.python,
        row.created_at,
        row.owner,
    )
    try:
        is_new = change(db, INSERT_RUN, (*values, row.wake_at, row.fencing)) == 1
    except REFUSES_DATA as error:
        raise BadItem(repr(run.id), f"cannot be stored: {error}") from error
    if is_new:
        if new.claimed is not None and new.claimed.started is not None:
            change(db, INSERT_RECORD, history_row(namespace, row.id, row.generation, new.claimed.started))
        return new
    there = read_run(db, namespace, run.id)
    assert there is not None
    return Started(there, False)
