"""The inboxes of runs, and what wakes a run."""

from collections.abc import Sequence

from perdure.model.runs import NewSignal
from perdure.store.postgresql.connections import Connection, Connections
from perdure.store.postgresql.failures import DataRefused
from perdure.store.postgresql.looking import checksum_of
from perdure.store.postgresql.runs import read_run
from perdure.store.postgresql.scope import Scope
from perdure.store.protocol import BadItem
from perdure.store.sending import KEYS_KEPT, is_known, key_of, refuse_full


async def send(connections: Connections, scope: Scope, signal: NewSignal, limit: int) -> None:
    """Raises RunNotFound, RunEnded, InboxFull, BadItem."""
    key = key_of(signal)
    run = (scope.namespace, signal.run_id)
    values = (*run, key, signal.id, signal.topic, signal.payload, limit, KEYS_KEPT, scope.now())
    try:
        checksum = checksum_of(signal.run_id, signal.id, signal.topic, signal.payload)
        row = await connections.write(lambda db: db.fetchrow(scope.sql("signals", "send"), *values, checksum))
    except (DataRefused, UnicodeError) as error:
        raise BadItem(repr(signal.run_id), f"the signal cannot be stored: {error}") from error
    state, has_key, undelivered, is_stored, is_woken, _ = row if row is not None else (None, False, 0, False, False, 0)
    if is_known(signal, state, has_key):
        return
    if not is_stored:
        refuse_full(signal, undelivered, limit)  # else another sender of the same key was quicker
    elif not is_woken:
        await make_sure(connections, scope, signal, key)


async def make_sure(connections: Connections, scope: Scope, signal: NewSignal, key: str) -> None:
    """The run was owned when the signal was sent: a checkpoint that did not see it may be about to put the run down, or to end it."""
    run = (scope.namespace, signal.run_id)
    if changed(await connections.write(lambda db: db.execute(scope.sql("signals", "stir"), *run, scope.now()))):
        return
    if changed(await connections.write(lambda db: db.execute(scope.sql("signals", "take_back"), *run, signal.id, key))):
        row = await connections.read(lambda db: read_run(db, scope, signal.run_id))
        is_known(signal, None if row is None else row.state.value, has_key=False)


async def addressed(db: Connection, scope: Scope, limit: int, owner: str | None) -> Sequence[str]:
    """Runs with signals in their inbox or of which something is wanted, at most `limit`, in the order of ids."""
    return [row[0] for row in await db.fetch(scope.sql("signals", "addressed"), scope.namespace, limit, owner)]


async def wake_missed(db: Connection, scope: Scope) -> int:
    return changed(await db.execute(scope.sql("signals", "wake_missed"), scope.namespace, scope.now()))


def changed(tag: str) -> int:
    """How many rows, from the tag that ends each statement."""
    return int(tag.rpartition(" ")[2])
