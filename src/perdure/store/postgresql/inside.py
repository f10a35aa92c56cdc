"""Starts and signals inside a transaction of the caller."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard

from perdure.clock import Microseconds
from perdure.errors import BadInput
from perdure.model.runs import NewRun, NewSignal
from perdure.store.callers.kinds import Caller, PostgresqlCaller, not_in_a_transaction
from perdure.store.postgresql.address import Address
from perdure.store.postgresql.hints import SENT, channel_of
from perdure.store.postgresql.queries import in_schema
from perdure.store.postgresql.runs import insert, read_runs
from perdure.store.postgresql.scope import Scope
from perdure.store.postgresql.signals import Put, put
from perdure.store.protocol import Started

TRIES = 5  # of what others do to the same run at the same moment
TELL = "select pg_notify($1, $2)"  # with the commit of the caller, whose settings are his own
MAY_READ = (
    "select transaction_timestamp(), (select has_schema_privilege(oid, 'usage') from pg_namespace where nspname = $1), current_database()"
)
IDENTITY = (
    "select transaction_timestamp(), pg_postmaster_start_time(), current_database(), "
    "(select min(applied_at) from perdure.perdure_migrations)"
)
Identity = tuple[Any, ...]


def identity_query(scope: Scope) -> str:
    """Behind the moment of the transaction: the server, the database, the store in it."""
    return in_schema(IDENTITY, scope.schema)


class Asked:
    """The connection of the caller, as the statements of this store want it."""

    def __init__(self, caller: PostgresqlCaller) -> None:
        self._caller = caller

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]:
        return await self._caller.fetch(query, args)

    async def fetchrow(self, query: str, *args: Any) -> Any:
        rows = await self._caller.fetch(query, args)
        return rows[0] if rows else None

    async def fetchval(self, query: str, *args: Any) -> Any:
        row = await self.fetchrow(query, *args)
        return None if row is None else row[0]

    async def execute(self, query: str, *args: Any) -> Any:
        await self._caller.fetch(query, args)

    async def executemany(self, command: str, args: Iterable[Sequence[Any]]) -> None:
        for values in args:
            await self._caller.fetch(command, values)


class InsidePostgresql:
    """Waits for nothing but the caller's own connection. What goes wrong there is raised as its driver says it."""

    def __init__(self, caller: Caller, scope: Scope, address: Address, identity: Identity, keys_kept: Microseconds) -> None:
        """Raises BadInput for a connection of another kind of database."""
        if not is_of_postgresql(caller):
            raise BadInput(f"transaction= was given {caller.named}, but the store is on PostgreSQL ({address.shown}); nothing was written")
        self._caller = caller
        self._db = Asked(caller)
        self._scope = scope
        self._shown = address.shown
        self._tells = not address.is_portable
        self._identity = identity
        self._keys_kept = keys_kept

    async def start(self, run: NewRun) -> Started:
        await self._check()
        for _ in range(TRIES):
            if new := await insert(self._db, self._scope, [run]):
                await self._tell("started")
                return new[run.id]
            if known := await read_runs(self._db, self._scope, [run.id]):
                return Started(known[run.id], False)
        raise BadInput(f"run {run.id!r} comes and goes while it is started; nothing was written, choose another id")

    async def send(self, signal: NewSignal, limit: int) -> None:
        await self._check()
        for _ in range(TRIES):
            done = await put(self._db, self._scope, signal, limit, self._keys_kept, wakes=False)
            if done is Put.WAITS:
                await self._tell(SENT + signal.run_id)
            if done is not Put.AGAIN:
                return
        raise BadInput(f"the key of a signal to run {signal.run_id!r} comes and goes while it is sent; nothing was written")

    async def _tell(self, what: str) -> None:
        """Whoever listens hears of it when the caller commits."""
        if self._tells:
            await self._db.execute(TELL, channel_of(self._scope), what)

    async def _check(self) -> None:
        """That it is the database of this store, and that both statements are of one transaction."""
        began_at, may_read, database = await self._db.fetchrow(MAY_READ, self._scope.schema)
        if not may_read:
            why = "there is no schema" if may_read is None else "its user may not use the schema"
            raise BadInput(
                f"transaction= was given {self._caller.named} to the database {database}, where {why} {self._scope.schema!r} of the store "
                f"at {self._shown}; nothing was written"
            )
        still, *identity = await self._db.fetchrow(identity_query(self._scope))
        if tuple(identity) != self._identity:
            raise BadInput(
                f"transaction= was given {self._caller.named} to another database than the store is in ({self._shown}); nothing was written"
            )
        if still != began_at:
            raise not_in_a_transaction(self._caller.named, "begin a transaction first, or use it without autocommit")


def is_of_postgresql(caller: Caller) -> TypeGuard[PostgresqlCaller]:
    return hasattr(caller, "fetch")
