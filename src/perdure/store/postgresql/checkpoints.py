"""One checkpoint: a look at what has to be known, then one transaction that begins with the fence."""

from functools import partial

from asyncpg import exceptions

from perdure.errors import StoreError
from perdure.store.changes import Gathering, Rows
from perdure.store.postgresql.claims import claim, insert_started
from perdure.store.postgresql.connections import Connection, Connections
from perdure.store.postgresql.failures import REFUSES_DATA, DataRefused
from perdure.store.postgresql.looking import Seen, look
from perdure.store.postgresql.scope import Scope
from perdure.store.postgresql.writing import rare_rows, write_common, write_rare
from perdure.store.protocol import BadItem, Checkpoint, Claimed, Committed, FenceLost

LOOKS_MOST = 5  # what is wanted of a run changes as fast as people type


class Moved(Exception):
    """What was looked at has changed: a run is not mine any more, or something else is wanted of it."""


class Refused(Exception):
    """The fence did not let the checkpoint pass."""


async def checkpoint(connections: Connections, scope: Scope, batch: Checkpoint, inbox_page: int, claim_page: int) -> Committed:
    """Raises FenceLost, BadItem, UnknownOutcome, StoreError."""
    seen = await see(connections, scope, batch, inbox_page)
    for _ in range(LOOKS_MOST):
        try:
            return await Writing(connections, scope, batch, seen, inbox_page, claim_page).commit()
        except Moved:
            seen = await see(connections, scope, batch, inbox_page)
        except Refused as refused:
            raise await why_refused(connections, scope, batch) from refused
        except (DataRefused, *REFUSES_DATA) as error:
            raise await culprit(connections, scope, batch, seen, inbox_page, error) from error
    changing = StoreError(f"worker {batch.incarnation}: its runs are changed again and again; nothing was written, try again")
    raise await culprit(connections, scope, batch, seen, inbox_page, changing)


async def see(connections: Connections, scope: Scope, batch: Checkpoint, inbox_page: int) -> Seen:
    return await connections.read(lambda db: look(db, scope, batch.changes, inbox_page, claims=batch.claims is not None))


class Writing:
    """One try."""

    def __init__(self, connections: Connections, scope: Scope, batch: Checkpoint, seen: Seen, inbox_page: int, claim_page: int) -> None:
        self._connections = connections
        self._scope = scope
        self._batch = batch
        self._seen = seen
        self._inbox_page = inbox_page
        self._claim_page = claim_page

    async def commit(self) -> Committed:
        gathering = Gathering(self._seen, self._scope.namespace, self._batch.incarnation, self._seen.now, self._inbox_page)
        self._written = [gathering.add(change) for change in self._batch.changes]
        self._rows, self._rare = gathering.rows, rare_rows(gathering.rows)
        claimed: list[Claimed] = []
        suspects_wait, owned = False, None
        if self._rare or self._batch.claims is not None or self._batch.lists_owned:
            claimed, suspects_wait, owned = await self._connections.transact(self._all)
        else:
            await self._connections.write(self._common)
        return Committed(self._seen.now, self._written, claimed, owned, suspects_wait)

    async def _common(self, db: Connection) -> None:
        await pass_and_write(db, self._scope, self._batch, self._rows, self._seen)

    async def _all(self, db: Connection) -> tuple[list[Claimed], bool, frozenset[str] | None]:
        await self._common(db)
        await write_rare(db, self._scope, self._rare)
        claimed: list[Claimed] = []
        suspects_wait, owned = False, None
        if self._batch.claims is not None:
            claimed, suspects_wait = await claim(db, self._scope, self._seen, self._batch, self._batch.claims, self._claim_page)
            await insert_started(db, self._scope, claimed)
        if self._batch.lists_owned:
            rows = await db.fetch(self._scope.sql("claims", "owned"), self._scope.namespace, self._batch.incarnation)
            owned = frozenset(row[0] for row in rows)
        return claimed, suspects_wait, owned


async def pass_and_write(db: Connection, scope: Scope, batch: Checkpoint, rows: Rows, seen: Seen) -> None:
    """Raises Moved, Refused, and what the database refuses."""
    try:
        passed = await write_common(db, scope, batch, rows, seen)
    except exceptions.DivisionByZeroError as moved:
        raise Moved from moved
    if not passed:
        raise Refused


async def why_refused(connections: Connections, scope: Scope, batch: Checkpoint) -> StoreError:
    last = await checkpoint_of(connections, scope, batch.incarnation)
    if last is None:
        return FenceLost(f"worker {batch.incarnation} has been declared dead: its runs belong to others, nothing was written")
    return StoreError(
        f"worker {batch.incarnation}: checkpoint {batch.number} does not follow the last committed one, {last}; nothing was written"
    )


async def checkpoint_of(connections: Connections, scope: Scope, incarnation: str) -> int | None:
    """Waits for one that is still being committed by a connection that nobody hears any more."""
    row = await connections.read(lambda db: db.fetchrow(scope.sql("workers", "fence"), scope.namespace, incarnation))
    return row["checkpoint"] if row is not None and row["state"] == "live" else None


class Undo(Exception):
    """Ends a transaction that was only to see whether it can be written."""


async def culprit(connections: Connections, scope: Scope, batch: Checkpoint, seen: Seen, inbox_page: int, error: Exception) -> Exception:
    """Writes change by change to see which is refused; all of it is undone."""
    for change in batch.changes:
        alone = Checkpoint(batch.incarnation, batch.number, batch.lease, [change])
        try:
            await connections.transact(partial(attempt, scope=scope, batch=alone, seen=seen, inbox_page=inbox_page))
        except Undo:  # this one can be written
            continue
        except Moved:
            return BadItem(change.run_id, "belongs to another worker or has ended; nothing was written")
        except Refused:
            return await why_refused(connections, scope, batch)
        except (DataRefused, *REFUSES_DATA) as refusal:
            return BadItem(change.run_id, f"cannot be written: {refusal}")
    return error


async def attempt(db: Connection, scope: Scope, batch: Checkpoint, seen: Seen, inbox_page: int) -> None:
    gathering = Gathering(seen, scope.namespace, batch.incarnation, seen.now, inbox_page)
    for change in batch.changes:
        gathering.add(change)
    await pass_and_write(db, scope, batch, gathering.rows, seen)
    await write_rare(db, scope, rare_rows(gathering.rows))
    raise Undo
