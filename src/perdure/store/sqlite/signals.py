"""The inboxes of runs, and what wakes a run."""

from collections.abc import Sequence

import apsw

from perdure.clock import Clock, Instant, Microseconds
from perdure.model.runs import NewSignal
from perdure.store.callers.kinds import SqliteStatements
from perdure.store.damaged_text import as_text
from perdure.store.protocol import BadItem
from perdure.store.rows import signal_checksum
from perdure.store.sending import is_known, key_of, refuse_full
from perdure.store.sqlite.failures import REFUSES_DATA
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.statements import change, fetch

SQL = named_queries("signals")
WANTED = named_queries("requests")["addressed"]
NOWHERE = (None, False, None, None, None, 0)  # how a run stands that does not exist


def send(db: SqliteStatements, namespace: str, clock: Clock, signal: NewSignal, limit: int, keys_kept: Microseconds) -> None:
    """Decides first, then writes. Raises RunNotFound, RunEnded, InboxFull, BadItem."""
    key = key_of(signal)
    run = (namespace, signal.run_id)
    try:
        standing = fetch(db, SQL["standing"], (*run, key))
        state, has_key, first, last, last_arrived_at, generation = standing[0] if standing else NOWHERE
        if is_known(signal, state, has_key):
            return
        refuse_full(signal, 0 if last is None else last - first + 1, limit)
        now = clock.now()
        number, arrived_at = (1, now) if last is None else (last + 1, max(now, last_arrived_at + 1))
        checksum = signal_checksum(signal.run_id, number, arrived_at, signal.id, signal.topic, signal.payload)
        change(db, SQL["insert"], (*run, number, arrived_at, signal.id, signal.topic, signal.payload, checksum))
        change(db, SQL["take_key"], (*run, key, now if generation else None))
        if generation:  # it may continue as new for years, and must not remember every key that it was ever sent
            change(db, SQL["forget_keys"], (*run, now - keys_kept))
    except REFUSES_DATA as error:
        raise BadItem(repr(signal.run_id), f"the signal cannot be stored: {error}") from error
    change(db, SQL["wake"], (*run, now))


def last_arrival(db: apsw.Connection, namespace: str, run_id: str) -> Instant:
    """When the last undelivered signal of a run arrived; 0 where there is none."""
    found = fetch(db, SQL["last_arrival"], (namespace, run_id))
    return int(found[0][0]) if found else 0


def addressed(db: apsw.Connection, namespace: str, limit: int, owner: str | None) -> Sequence[str]:
    """Runs with signals in their inbox, and runs of which something is wanted, each at most `limit`, in the order of ids."""
    values = (namespace, limit, owner)
    found = {run_id for statement in (SQL["addressed"], WANTED) for (run_id,) in fetch(db, statement, values)}
    return sorted(found)


def astray(db: apsw.Connection, namespace: str, limit: int) -> Sequence[str]:
    """Ids of no run for which signals wait."""
    return [as_text(run_id) for (run_id,) in fetch(db, SQL["astray"], (namespace, limit))]


def has_missed(db: apsw.Connection, namespace: str, clock: Clock) -> bool:
    return bool(fetch(db, SQL["has_missed"], (namespace, clock.now())))


def wake_missed(db: apsw.Connection, namespace: str, clock: Clock) -> int:
    return change(db, SQL["wake_missed"], (namespace, clock.now()))
