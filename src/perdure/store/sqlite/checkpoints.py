"""One transaction of one worker: the fence, what its runs have to write, and what it claims."""

from collections.abc import Sequence

import apsw

from perdure.clock import Clock, Instant
from perdure.store.changes import NotOwned
from perdure.store.protocol import BadItem, Checkpoint, Committed, Written
from perdure.store.sqlite.claims import claim, owned
from perdure.store.sqlite.failures import REFUSES_DATA
from perdure.store.sqlite.statements import fetch
from perdure.store.sqlite.workers import pass_fence
from perdure.store.sqlite.writing import write_changes


def checkpoint(db: apsw.Connection, namespace: str, clock: Clock, batch: Checkpoint, inbox_page: int, claim_page: int) -> Committed:
    """Raises FenceLost, BadItem, StoreError; then nothing may be committed."""
    now = clock.now()
    pass_fence(db, namespace, clock, batch)
    written = write_all(db, namespace, now, batch, inbox_page)
    claimed, suspects_wait = claim(db, namespace, now, batch, batch.claims, claim_page) if batch.claims is not None else ((), False)
    mine = owned(db, namespace, batch.incarnation) if batch.lists_owned else None
    return Committed(now, written, claimed, mine, suspects_wait)


def write_all(db: apsw.Connection, namespace: str, now: Instant, batch: Checkpoint, inbox_page: int) -> Sequence[Written]:
    """Few statements for the whole batch; where one fails, the change that caused it is looked for."""
    if not batch.changes:
        return ()
    try:
        return write_changes(db, namespace, batch.incarnation, now, batch.changes, inbox_page)
    except (*REFUSES_DATA, NotOwned) as error:
        raise culprit(db, namespace, now, batch, inbox_page, error) from error


def culprit(db: apsw.Connection, namespace: str, now: Instant, batch: Checkpoint, inbox_page: int, error: Exception) -> Exception:
    """Undoes the transaction and writes change by change to see which is refused. What this writes is undone with what it raises."""
    fetch(db, "rollback")
    fetch(db, "begin immediate")
    for change in batch.changes:
        try:
            write_changes(db, namespace, batch.incarnation, now, [change], inbox_page)
        except NotOwned:
            return BadItem(change.run_id, "belongs to another worker or has ended; nothing was written")
        except REFUSES_DATA as refusal:
            return BadItem(change.run_id, f"cannot be written: {type(refusal).__name__}: {refusal}")
    return error
