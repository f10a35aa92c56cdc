"""One transaction of one worker: the fence, what its runs have to write, and what it claims."""

from collections.abc import Sequence

import apsw

from perdure.clock import Clock, Instant
from perdure.errors import CorruptedHistory
from perdure.store.changes import NotOwned
from perdure.store.pages import Pages
from perdure.store.protocol import BadItem, Checkpoint, Committed, Written
from perdure.store.sqlite.claims import Taken, claim, owned
from perdure.store.sqlite.failures import REFUSES_DATA
from perdure.store.sqlite.statements import fetch
from perdure.store.sqlite.workers import pass_fence
from perdure.store.sqlite.writing import write_changes

NOTHING = Taken()


def checkpoint(db: apsw.Connection, namespace: str, clock: Clock, batch: Checkpoint, pages: Pages) -> Committed:
    """Raises FenceLost, NotNext, BadItem, StoreError; then nothing may be committed."""
    now = clock.now()
    pass_fence(db, namespace, clock, batch)
    written = write_all(db, namespace, now, batch, pages)
    taken = claim(db, namespace, now, batch, batch.claims, pages) if batch.claims is not None else NOTHING
    mine = owned(db, namespace, batch.incarnation) if batch.lists_owned else None
    return Committed(now, written, taken.runs, mine, taken.suspects_wait, taken.has_more, taken.set_aside)


def write_all(db: apsw.Connection, namespace: str, now: Instant, batch: Checkpoint, pages: Pages) -> Sequence[Written]:
    """Few statements for the whole batch; where one fails, the change that caused it is looked for."""
    if not batch.changes:
        return ()
    try:
        return write_changes(db, namespace, batch.incarnation, now, batch.changes, pages)
    except (*REFUSES_DATA, NotOwned, CorruptedHistory) as error:
        raise culprit(db, namespace, now, batch, pages, error) from error


def culprit(db: apsw.Connection, namespace: str, now: Instant, batch: Checkpoint, pages: Pages, error: Exception) -> Exception:
    """Undoes the transaction and writes change by change to see which is refused. What this writes is undone with what it raises."""
    fetch(db, "rollback")
    fetch(db, "begin immediate")
    for change in batch.changes:
        try:
            write_changes(db, namespace, batch.incarnation, now, [change], pages)
        except NotOwned:
            return BadItem(change.run_id, "belongs to another worker or has ended; nothing was written")
        except CorruptedHistory as damage:
            return BadItem(change.run_id, str(damage))
        except REFUSES_DATA as refusal:
            return BadItem(change.run_id, f"cannot be written: {type(refusal).__name__}: {refusal}")
    return error
