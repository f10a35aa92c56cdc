"""The inboxes of runs, and what wakes a run."""

from collections.abc import Sequence

import apsw

from perdure.clock import Clock, Instant
from perdure.errors import InboxFull, RunEnded, RunNotFound
from perdure.model.runs import NewSignal
from perdure.model.states import RunState
from perdure.store.protocol import BadItem
from perdure.store.sqlite.failures import REFUSES_DATA
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.statements import change, change_each, fetch

SQL = named_queries("signals")
WANTED = named_queries("requests")["addressed"]
ALL = -1  # SQLite's word for no limit


def send(db: apsw.Connection, namespace: str, clock: Clock, signal: NewSignal, limit: int) -> None:
    """Decides first, then writes. Raises RunNotFound, RunEnded, InboxFull, BadItem."""
    try:
        if is_known(db, namespace, signal):
            return
        now = clock.now()
        put(db, namespace, signal, limit, now)
        change(db, SQL["take_key"], (namespace, signal.run_id, key_of(signal)))
    except REFUSES_DATA as error:
        raise BadItem(repr(signal.run_id), f"the signal cannot be stored: {error}") from error
    change(db, SQL["wake"], (namespace, signal.run_id, now))


def is_known(db: apsw.Connection, namespace: str, signal: NewSignal) -> bool:
    """Whether it has been stored before. A new one for a run that takes none raises RunNotFound or RunEnded."""
    states = fetch(db, SQL["state"], (namespace, signal.run_id))
    if not states:
        raise RunNotFound(f"there is no run {signal.run_id!r}; nothing was sent")
    if fetch(db, SQL["has_key"], (namespace, signal.run_id, key_of(signal))):
        return True
    if RunState(states[0][0]).is_final:
        raise RunEnded(f"run {signal.run_id} has ended ({states[0][0]}) and takes no more signals; nothing was sent")
    return False


def key_of(signal: NewSignal) -> str:
    """A signal without a key is known by its id, so that a sender who does not know whether it arrived can repeat it."""
    return f"id:{signal.id}" if signal.key is None else f"key:{signal.key}"


def last_arrival(db: apsw.Connection, namespace: str, run_id: str) -> Instant:
    """When the last undelivered signal of a run arrived; 0 where there is none."""
    last = fetch(db, SQL["bounds"], (namespace, run_id))[0][1]
    return 0 if last is None else int(fetch(db, SQL["arrived_at"], (namespace, run_id, last))[0][0])


def put(db: apsw.Connection, namespace: str, signal: NewSignal, limit: int, now: Instant) -> None:
    run = (namespace, signal.run_id)
    first, last = fetch(db, SQL["bounds"], run)[0]
    number, arrived_at = 1, now
    if last is not None:
        if last - first + 1 >= limit:
            raise InboxFull(f"{limit} undelivered signals wait for run {signal.run_id}; this one was not stored: send it again later")
        number = last + 1
        arrived_at = max(now, fetch(db, SQL["arrived_at"], (*run, last))[0][0] + 1)
    values = (*run, number, arrived_at, signal.id, signal.topic, signal.payload)
    change(db, SQL["insert"], values)


def addressed(db: apsw.Connection, namespace: str, limit: int = ALL) -> Sequence[str]:
    """Runs with signals in their inbox, and runs of which something is wanted, each at most `limit`, in the order of ids."""
    found = {run_id for statement in (SQL["addressed"], WANTED) for (run_id,) in fetch(db, statement, (namespace, limit))}
    return sorted(found)


def wake_missed(db: apsw.Connection, namespace: str, clock: Clock) -> int:
    """Statements in the order of ids."""
    now = clock.now()
    return change_each(db, SQL["wake"], [(namespace, run_id, now) for run_id in addressed(db, namespace)])
