"""The inboxes of runs, and what wakes a run."""

from collections.abc import Sequence
from enum import Enum, auto

from perdure.clock import Microseconds
from perdure.errors import StoreError
from perdure.model.runs import NewSignal
from perdure.store.postgresql.connections import Connection, Connections
from perdure.store.postgresql.failures import DataRefused
from perdure.store.postgresql.looking import checksum_of
from perdure.store.postgresql.runs import read_run
from perdure.store.postgresql.scope import Scope
from perdure.store.postgresql.statements import Statements
from perdure.store.protocol import BadItem, UnknownOutcome
from perdure.store.sending import is_known, key_of, refuse_full


class Put(Enum):
    KNOWN = auto()  # it was sent before, and has been received, or will be
    DUE = auto()  # its run is due by it
    WAITS = auto()  # nobody has been told
    AGAIN = auto()  # another sender of the same key was quicker: this one is a repeat


async def send(connections: Connections, scope: Scope, signal: NewSignal, limit: int, keys_kept: Microseconds) -> None:
    """Raises RunNotFound, RunEnded, InboxFull, BadItem, UnknownOutcome."""
    try:
        done = await connections.write(lambda db: put(db, scope, signal, limit, keys_kept, wakes=True))
    except (DataRefused, UnicodeError) as error:
        raise BadItem(repr(signal.run_id), f"the signal cannot be stored: {error}") from error
    if done is Put.AGAIN:
        await send(connections, scope, signal, limit, keys_kept)
    elif done is Put.WAITS:
        await make_sure(connections, scope, signal, key_of(signal))


async def put(db: Statements, scope: Scope, signal: NewSignal, limit: int, keys_kept: Microseconds, *, wakes: bool) -> Put:
    """Raises RunNotFound, RunEnded, InboxFull.

    Without `wakes` the row of its run is not touched, so that no checkpoint waits for the transaction that this is part of.
    """
    key = key_of(signal)
    run = (scope.namespace, signal.run_id)
    values = (*run, key, key, signal.topic, signal.payload, limit, keys_kept, scope.now())  # by its key a repeat finds it in the inbox
    checksum = checksum_of(signal.run_id, key, signal.topic, signal.payload)
    row = await db.fetchrow(scope.sql("signals", "send"), *values, checksum, wakes)
    state, has_key, undelivered, is_stored, is_woken, old, still_waits = row or (None, False, 0, False, False, (), False)
    if old and is_stored and scope.is_portable:
        await db.execute(scope.sql("signals", "forget_keys"), *run, old)
    if not still_waits and is_known(signal, state, has_key):
        return Put.KNOWN
    if not is_stored and not still_waits:
        refuse_full(signal, undelivered, limit)
        return Put.AGAIN
    return Put.DUE if is_woken else Put.WAITS


async def make_sure(connections: Connections, scope: Scope, signal: NewSignal, key: str) -> None:
    """The run was owned when the signal was sent: a checkpoint that did not see it may be about to put the run down, or to end it.

    A sender that stopped before this was done has acknowledged nothing: the next one of its key does it, or is told that it is too late.
    """
    try:
        await stir_or_take_back(connections, scope, signal, key)
    except StoreError as error:
        raise UnknownOutcome(f"a signal for run {signal.run_id} is stored, but may come too late for it: {error}") from error


async def stir_or_take_back(connections: Connections, scope: Scope, signal: NewSignal, key: str) -> None:
    """Raises RunEnded, RunNotFound."""
    run = (scope.namespace, signal.run_id)
    if changed(await connections.write(lambda db: db.execute(scope.sql("signals", "stir"), *run, scope.now()))):
        return
    if changed(await connections.write(lambda db: db.execute(scope.sql("signals", "take_back"), *run, key, key))):
        row = await connections.read(lambda db: read_run(db, scope, signal.run_id))
        is_known(signal, None if row is None else row.state.value, has_key=False)


async def addressed(db: Connection, scope: Scope, limit: int, owner: str | None) -> Sequence[str]:
    """Runs with signals in their inbox or of which something is wanted, at most `limit`, in the order of ids."""
    return [row[0] for row in await db.fetch(scope.sql("signals", "addressed"), scope.namespace, limit, owner)]


async def wake_missed(db: Connection, scope: Scope) -> int:
    return changed(await db.execute(scope.sql("signals", "wake_missed"), scope.namespace, scope.now()))


async def wake(db: Connection, scope: Scope, run_id: str) -> None:
    await db.execute(scope.sql("signals", "wake"), scope.namespace, run_id, scope.now())


def changed(tag: str) -> int:
    """How many rows, from the tag that ends each statement."""
    return int(tag.rpartition(" ")[2])
