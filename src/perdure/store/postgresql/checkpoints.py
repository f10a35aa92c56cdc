"""One checkpoint: a look at what has to be known, then one transaction that begins with the fence."""

import logging
from dataclasses import replace
from functools import partial

from asyncpg import exceptions

from perdure.errors import StoreError
from perdure.store.changes import Gathering, Rows
from perdure.store.pages import Pages
from perdure.store.postgresql.claims import Taken, claim, insert_started, set_aside, take, with_histories
from perdure.store.postgresql.connections import Connection, Connections
from perdure.store.postgresql.failures import REFUSES_DATA, DataRefused
from perdure.store.postgresql.foresight import Foresight
from perdure.store.postgresql.looking import Seen, look
from perdure.store.postgresql.scope import Scope
from perdure.store.postgresql.statements import Statements
from perdure.store.postgresql.writing import rare_rows, write_common, write_rare
from perdure.store.protocol import BadItem, Change, Checkpoint, Committed, FenceLost, NotNext, Written

log = logging.getLogger("perdure.store")


class Moved(Exception):
    """What was looked at has changed: a run is not mine any more, or something else is wanted of it."""


class Refused(Exception):
    """The fence did not let the checkpoint pass."""


async def checkpoint(connections: Connections, scope: Scope, foresight: Foresight, batch: Checkpoint, pages: Pages) -> Committed:
    """Does not look where it can be foreseen what there is to see; else looks without a lock, then with the runs locked.

    Raises FenceLost, NotNext, BadItem, UnknownOutcome, StoreError.
    """
    writing = Writing(scope, batch, pages)
    try:
        foreseen = foresight.of(batch)
        if foreseen is not None:
            try:
                done = await written(connections, writing, foreseen)
            except Moved:  # nothing was written
                foresight.was_wrong()
            else:
                return await claimed_quickly(connections, writing, done)
        try:
            return await written(connections, writing, await connections.read(writing.look))
        except Moved:
            return await connections.transact(writing.look_and_write)
    except Refused as refused:
        raise await why_refused(connections, scope, batch) from refused
    except (Moved, DataRefused, *REFUSES_DATA) as error:
        raise await culprit(connections, writing, error) from error


async def written(connections: Connections, writing: "Writing", seen: Seen) -> Committed:
    """Raises Moved, Refused."""
    changes, rows = writing.gathered(seen)
    write = partial(writing.write, seen=seen, written=changes, rows=rows)
    return await (connections.write(write) if writing.is_one_statement(seen, rows) else connections.transact(write))


async def claimed_quickly(connections: Connections, writing: "Writing", done: Committed) -> Committed:
    """What a claim does that its statement does not. That is committed: what fails here is done by whoever loads these runs."""
    try:
        if done.set_aside:
            await connections.transact(lambda db: set_aside(db, writing.scope, done.at, done.set_aside))
        claimed = await connections.read(lambda db: with_histories(db, writing.scope, done.claimed))
    except StoreError as error:
        log.warning("what was claimed could not be read with its claim, it is read again: %s", error)
        return done
    return replace(done, claimed=claimed)


class Writing:
    """What one checkpoint does with a connection."""

    def __init__(self, scope: Scope, batch: Checkpoint, pages: Pages) -> None:
        self.batch = batch
        self.scope = scope
        self._pages = pages

    async def look(self, db: Connection) -> Seen:
        return await look(db, self.scope, self.batch.changes, self._pages, claims=self.batch.claims is not None)

    async def look_and_write(self, db: Connection) -> Committed:
        """What is wanted of these runs, and what is sent to them, waits until this is committed."""
        run_ids = [change.run_id for change in self.batch.changes]
        await db.execute(self.scope.sql("checkpoints", "lock"), self.scope.namespace, run_ids)
        seen = await self.look(db)
        return await self.write(db, seen, *self.gathered(seen))

    def alone(self, change: Change) -> "Writing":
        """The same with one change only."""
        return Writing(self.scope, replace(self.batch, changes=[change], claims=None, lists_owned=False), self._pages)

    def is_one_statement(self, seen: Seen, rows: Rows) -> bool:
        if self.batch.claims is not None:
            return seen.is_foreseen and not self.batch.changes
        return not self.batch.lists_owned and not rare_rows(rows)

    def gathered(self, seen: Seen) -> tuple[list[Written], Rows]:
        gathering = Gathering(seen.begin(self._pages), self.scope.namespace, self.batch.incarnation, seen.now)
        return [gathering.add(change) for change in self.batch.changes], gathering.rows

    async def write(self, db: Connection, seen: Seen, written: list[Written], rows: Rows) -> Committed:
        """Raises Moved, Refused, and what the database refuses."""
        if not self.is_one_statement(seen, rows) or self.batch.claims is None:
            await self._pass(db, rows, seen)
        if rare := rare_rows(rows):
            await write_rare(db, self.scope, rare)
        taken = await self._claim(db, seen)
        owned = None
        if self.batch.lists_owned:
            found = await db.fetch(self.scope.sql("claims", "owned"), self.scope.namespace, self.batch.incarnation)
            owned = frozenset(row[0] for row in found)
        return Committed(seen.now, written, taken.runs, owned, taken.suspects_wait, taken.has_more, taken.set_aside)

    async def _claim(self, db: Connection, seen: Seen) -> Taken:
        wanted = self.batch.claims
        if wanted is None:
            return Taken()
        if not seen.is_foreseen:
            taken = await claim(db, self.scope, seen, self.batch, wanted, self._pages)
            await insert_started(db, self.scope, taken.runs)
            return taken
        try:
            found = await take(db, self.scope, seen, self.batch, wanted, self._pages, has_passed=bool(self.batch.changes))
        except exceptions.DivisionByZeroError as moved:
            raise Moved from moved
        if found is None:
            raise Refused
        return found

    async def write_enclosed(self, db: Statements, seen: Seen) -> Committed:
        """What a transactional step has left to write, in its own transaction."""
        written, rows = self.gathered(seen)
        await self._pass(db, rows, seen)
        if rare := rare_rows(rows):
            await write_rare(db, self.scope, rare)
        return Committed(seen.now, written, ())

    async def _pass(self, db: Statements, rows: Rows, seen: Seen) -> None:
        try:
            passed = await write_common(db, self.scope, self.batch, rows, seen)
        except exceptions.DivisionByZeroError as moved:
            raise Moved from moved
        if not passed:
            raise Refused


async def why_refused(connections: Connections, scope: Scope, batch: Checkpoint) -> StoreError:
    last = await checkpoint_of(connections, scope, batch.incarnation)
    if last is None:
        return FenceLost(f"worker {batch.incarnation} has been declared dead: its runs belong to others, nothing was written")
    return NotNext(
        f"worker {batch.incarnation}: checkpoint {batch.number} does not follow the last committed one, {last}; nothing was written"
    )


async def checkpoint_of(connections: Connections, scope: Scope, incarnation: str) -> int | None:
    """Waits for one that is still being committed by a connection that nobody hears any more."""
    row = await connections.read(lambda db: db.fetchrow(scope.sql("workers", "fence"), scope.namespace, incarnation))
    return row["checkpoint"] if row is not None and row["state"] == "live" else None


class Undo(Exception):
    """Ends a transaction that was only to see whether it can be written."""


async def culprit(connections: Connections, writing: Writing, error: Exception) -> Exception:
    """Writes change by change to see which is refused; all of it is undone."""
    for change in writing.batch.changes:
        try:
            await connections.transact(partial(attempt, alone=writing.alone(change)))
        except Undo:  # this one can be written
            continue
        except Moved:
            return BadItem(change.run_id, "belongs to another worker or has ended; nothing was written")
        except Refused:
            return await why_refused(connections, writing.scope, writing.batch)
        except (DataRefused, *REFUSES_DATA) as refusal:
            return BadItem(change.run_id, f"cannot be written: {refusal}")
    return StoreError(
        f"worker {writing.batch.incarnation}: its runs changed while they were written ({error}); nothing was written, try again"
    )


async def attempt(db: Connection, alone: Writing) -> None:
    await alone.look_and_write(db)
    raise Undo
