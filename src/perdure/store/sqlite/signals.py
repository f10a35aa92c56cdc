"""The inboxes of runs, and what wakes a run."""

from collections.abc import Sequence

import apsw

from perdure.clock import SECOND, Clock, Instant
from perdure.errors import CorruptedHistory, InboxFull, RunEnded, RunNotFound
from perdure.model.runs import NewSignal
from perdure.model.states import RunState
from perdure.settings import DEFAULTS
from perdure.store.protocol import BadItem
from perdure.store.rows import STATES, signal_checksum
from perdure.store.sqlite.failures import REFUSES_DATA
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.statements import Row, change, fetch

SQL = named_queries("signals")
WANTED = named_queries("requests")["addressed"]
KEYS_KEPT = round(DEFAULTS.signal_keys_kept_days * 86400 * SECOND)


def send(db: apsw.Connection, namespace: str, clock: Clock, signal: NewSignal, limit: int) -> None:
    """Decides first, then writes. Raises RunNotFound, RunEnded, InboxFull, BadItem."""
    key = f"id:{signal.id}" if signal.key is None else f"key:{signal.key}"  # by its id a sender who does not know its outcome can repeat it
    run = (namespace, signal.run_id)
    try:
        standing = fetch(db, SQL["standing"], (*run, key))
        if is_known(signal, standing):
            return
        _, _, first, last, last_arrived_at, generation = standing[0]
        if last is not None and last - first + 1 >= limit:
            raise InboxFull(f"{limit} undelivered signals wait for run {signal.run_id}; this one was not stored: send it again later")
        now = clock.now()
        number, arrived_at = (1, now) if last is None else (last + 1, max(now, last_arrived_at + 1))
        checksum = signal_checksum(signal.run_id, number, arrived_at, signal.id, signal.topic, signal.payload)
        change(db, SQL["insert"], (*run, number, arrived_at, signal.id, signal.topic, signal.payload, checksum))
        change(db, SQL["take_key"], (*run, key, now if generation else None))
        if generation:  # it may continue as new for years, and must not remember every key that it was ever sent
            change(db, SQL["forget_keys"], (*run, now - KEYS_KEPT))
    except REFUSES_DATA as error:
        raise BadItem(repr(signal.run_id), f"the signal cannot be stored: {error}") from error
    change(db, SQL["wake"], (*run, now))


def is_known(signal: NewSignal, standing: Sequence[Row]) -> bool:
    """Whether it has been stored before. A new one for a run that takes none raises RunNotFound, RunEnded, or CorruptedHistory."""
    if not standing:
        raise RunNotFound(f"there is no run {signal.run_id!r}; nothing was sent")
    state, has_key, *_ = standing[0]
    if has_key:
        return True
    if state not in STATES:
        raise CorruptedHistory(f"run {signal.run_id}: its row is damaged: there is no state {state!r}; nothing was sent")
    if RunState(state).is_final:
        raise RunEnded(f"run {signal.run_id} has ended ({state}) and takes no more signals; nothing was sent")
    return False


def last_arrival(db: apsw.Connection, namespace: str, run_id: str) -> Instant:
    """When the last undelivered signal of a run arrived; 0 where there is none."""
    found = fetch(db, SQL["last_arrival"], (namespace, run_id))
    return int(found[0][0]) if found else 0


def addressed(db: apsw.Connection, namespace: str, limit: int, owner: str | None) -> Sequence[str]:
    """Runs with signals in their inbox, and runs of which something is wanted, each at most `limit`, in the order of ids."""
    values = (namespace, limit, owner)
    found = {run_id for statement in (SQL["addressed"], WANTED) for (run_id,) in fetch(db, statement, values)}
    return sorted(found)


def has_missed(db: apsw.Connection, namespace: str, clock: Clock) -> bool:
    return bool(fetch(db, SQL["has_missed"], (namespace, clock.now())))


def wake_missed(db: apsw.Connection, namespace: str, clock: Clock) -> int:
    return change(db, SQL["wake_missed"], (namespace, clock.now()))
