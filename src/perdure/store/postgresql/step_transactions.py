"""Transactions for transactional steps: each attempt has one, on a connection of its own, until a checkpoint ends it."""

import asyncio
from collections.abc import Callable
from typing import Any

from asyncpg import exceptions

from perdure.errors import StoreError
from perdure.store.calls import BeginsAnew, CallSpoiled, NotAllowedInTransaction
from perdure.store.pages import Pages
from perdure.store.postgresql.checkpoints import Moved, Refused, Writing, why_refused
from perdure.store.postgresql.connections import Connections
from perdure.store.postgresql.drivers.choosing import Drivers, kind_of
from perdure.store.postgresql.drivers.translating import state_of
from perdure.store.postgresql.failures import BEGINS_ANEW, NOT_NOW, is_lost, said
from perdure.store.postgresql.inside import identity_query
from perdure.store.postgresql.looking import Seen
from perdure.store.postgresql.scope import Scope
from perdure.store.postgresql.step_connections import STEP_CONNECTIONS_MOST, StepConnection
from perdure.store.protocol import BadItem, Checkpoint, Committed, UnknownOutcome

WITHIN = "select transaction_timestamp(), coalesce($1::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint)"
BEGINS_ANEW_STATES = frozenset({"40001", "40P01"})  # serialization failure, deadlock


class StepTransactions:
    """A bounded number at once; whoever asks for one more waits."""

    def __init__(self, connections: Connections, scope: Scope) -> None:
        self._connections = connections
        self._scope = scope
        self._drivers = Drivers(connections.address)
        self._room = asyncio.Semaphore(STEP_CONNECTIONS_MOST)

    async def begin(self, asked: type | None) -> "OpenTransaction":
        """Raises TypeError for a type that is no connection of this store, StoreError where none can be had."""
        kind = kind_of(asked)
        await self._room.acquire()
        try:
            transaction = OpenTransaction(await self._drivers.take(kind), self._scope, self._room)
        except BaseException:
            self._room.release()
            raise
        try:
            await transaction.begin()
            if kind[0] == "django":
                await transaction.refuse_elsewhere(self._connections)
        except TypeError:
            await transaction.close()
            raise
        except Exception as error:
            await transaction.close()
            raise BeginsAnew(f"no transaction could be begun: {said(error)}") from error
        except BaseException:
            transaction.abandon()
            await transaction.close()
            raise
        return transaction

    async def close(self) -> None:
        await self._drivers.close()


class OpenTransaction:
    """Of one attempt. Its moment of beginning tells whether it still is the same transaction when it is to be committed."""

    def __init__(self, connection: StepConnection, scope: Scope, room: asyncio.Semaphore) -> None:
        self._connection = connection
        self._scope = scope
        self._room: asyncio.Semaphore | None = room
        self._began_at: object = None

    async def begin(self) -> None:
        await self._connection.begin()
        self._began_at = (await self._connection.statements.fetchrow(WITHIN, self._scope.now()))[0]

    async def perform(self, body: Callable[[Any], Any]) -> Any:
        try:
            return await self._connection.call(body)
        except Exception as error:
            if self._connection.is_lost or begins_anew(error):
                raise BeginsAnew(said(error)) from error
            raise

    async def refuse_elsewhere(self, connections: Connections) -> None:
        """Raises TypeError where the connection, which is not made from the address of the store, leads to another database."""
        query = identity_query(self._scope)
        row = await connections.read(lambda db: db.fetchrow(query))
        here = tuple(row or ())[1:]
        there = tuple(await self._connection.statements.fetchrow(query))[1:]
        if here != there:
            raise TypeError(f"the default database of Django is not that of the store ({connections.address.shown}): let both be one")

    async def close(self) -> None:
        room, self._room = self._room, None
        try:
            await self._connection.close()
        finally:
            if room is not None:
                room.release()

    def abandon(self) -> None:
        self._connection.cut()

    # ── its end ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def end(self, connections: Connections, scope: Scope, batch: Checkpoint, pages: Pages) -> Committed:
        """The fence, the record and COMMIT. Raises FenceLost, BadItem, CallSpoiled, UnknownOutcome."""
        [change] = batch.changes
        [call] = change.calls
        writing = Writing(scope, batch, pages)
        try:
            seen = await self._look()
            done = await writing.write_enclosed(self._connection.statements, seen)
            await connections.committed(self._connection.commit)
        except Refused as refused:
            self.abandon()
            raise await why_refused(connections, scope, batch) from refused
        except Moved as moved:
            self.abandon()
            raise BadItem(change.run_id, "belongs to another worker or has ended; nothing was written") from moved
        except UnknownOutcome:
            self.abandon()
            raise
        except Exception as error:
            self.abandon()
            raise CallSpoiled(call, blamed(error)) from error
        except BaseException:
            self.abandon()
            raise
        return done

    async def _look(self) -> Seen:
        began_at, now = await self._connection.statements.fetchrow(WITHIN, self._scope.now())
        if began_at != self._began_at:
            raise NotAllowedInTransaction(
                "the step has ended the transaction it ran in; what it wrote before may be there without its record: let perdure commit"
            )
        self._scope.hear(now)
        return Seen(now)


def blamed(error: Exception) -> Exception:
    """What the attempt is told. Nothing of it is there."""
    if isinstance(error, BEGINS_ANEW + NOT_NOW) or is_lost(error):
        return BeginsAnew(said(error))
    if isinstance(error, exceptions.InFailedSQLTransactionError):
        return StoreError(
            "a statement of the step had failed, and with it the transaction, but the step went on: let the error through, or try the "
            "statement in a savepoint (`async with db.transaction():`)"
        )
    return error


def begins_anew(error: Exception) -> bool:
    """Whether the database says so, whatever driver and wrapper it came through."""
    return state_of(error) in BEGINS_ANEW_STATES
