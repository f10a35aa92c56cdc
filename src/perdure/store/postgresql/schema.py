"""Applies the numbered migrations to a database, all that are pending in one transaction."""

import re
from collections.abc import Awaitable, Callable
from functools import partial

import asyncpg
from asyncpg import exceptions

from perdure.errors import StoreError
from perdure.store.migrations import known_migrations, pending_migrations, schema_status
from perdure.store.postgresql.connections import Connection, Connections
from perdure.store.postgresql.queries import in_schema, portable
from perdure.store.postgresql.scope import Scope
from perdure.store.protocol import SchemaStatus

PACKAGE = "perdure.store.postgresql.migrations"
TRIES = 5

HAS_TABLE = "select to_regclass('perdure.perdure_migrations') is not null"
CREATE_SCHEMA = "create schema if not exists"
HAS_SCHEMA = "select exists (select 1 from pg_namespace where nspname = $1)"
CREATE_TABLE = (
    "create table if not exists perdure.perdure_migrations "
    "(number bigint primary key, name text not null, checksum text not null, applied_at bigint not null)"
)
LOCK = "lock table perdure.perdure_migrations in share row exclusive mode"
ROWS = "select number, name, checksum from perdure.perdure_migrations"
INSERT = (
    "insert into perdure.perdure_migrations (number, name, checksum, applied_at) "
    "values ($1, $2, $3, (extract(epoch from statement_timestamp()) * 1000000)::bigint)"
)
CREATED_AT_ONCE = (exceptions.UniqueViolationError, exceptions.DuplicateTableError, exceptions.DuplicateSchemaError)


async def read_status(db: Connection, scope: Scope) -> SchemaStatus:
    """Raises SchemaTooNew, and StoreError where a migration was edited."""
    return schema_status(known_migrations(PACKAGE), await applied(db, scope))


async def migrate(connections: Connections, scope: Scope) -> None:
    """All of them, or nothing, so that nobody who opens the store meanwhile finds it half made.

    The lock comes first, so of two processes that migrate at once the second finds the work done. One that is killed leaves nothing.
    """
    if scope.is_portable:
        await apply_one_by_one(connections, scope)
    else:
        await repeated(partial(connections.transact, lambda db: prepare(db, scope)))
        await connections.transact(lambda db: apply_pending(db, scope))


async def apply_one_by_one(connections: Connections, scope: Scope) -> None:
    """One statement a transaction, for these databases take no more. Each may be repeated: after a kill the next one goes on."""

    async def apply(statement: str, *values: object) -> None:
        await repeated(lambda: connections.write(lambda db: db.execute(in_schema(statement, scope.schema), *values)))

    if not await connections.read(lambda db: db.fetchval(HAS_SCHEMA, scope.schema)):
        await apply(f'{CREATE_SCHEMA} "{scope.schema}"')
    await apply(CREATE_TABLE)
    for migration in pending_migrations(known_migrations(PACKAGE), await connections.read(lambda db: applied(db, scope))):
        for statement in portable_statements(migration.sql):
            await apply(statement)
        await apply(f"{INSERT} on conflict do nothing", migration.number, migration.name, migration.checksum)


async def repeated(work: Callable[[], Awaitable[object]]) -> None:
    for tries_left in reversed(range(TRIES)):
        try:
            await work()
        except StoreError as error:  # "if not exists" is no lock: two that begin at the same moment may both try
            if not tries_left or not isinstance(error.__cause__, CREATED_AT_ONCE):
                raise
        else:
            return


def portable_statements(sql: str) -> list[str]:
    """Without what only PostgreSQL has: indexes are of all rows, and none is chosen by its age."""
    plain = re.sub(r"--[^\n]*", "", portable(sql))
    whole = re.sub(r"(create index[^;]*?\)) where [^;]*;", r"\1;", plain)
    return [statement.strip() for statement in whole.split(";") if statement.strip()]


async def prepare(db: Connection, scope: Scope) -> None:
    if not await db.fetchval(HAS_SCHEMA, scope.schema):  # asked first, for it needs a privilege even where there is nothing to do
        await db.execute(f'{CREATE_SCHEMA} "{scope.schema}"')
    await db.execute(in_schema(CREATE_TABLE, scope.schema))


async def apply_pending(db: Connection, scope: Scope) -> None:
    await db.execute(in_schema(LOCK, scope.schema))
    for migration in pending_migrations(known_migrations(PACKAGE), await applied(db, scope)):
        await db.execute(in_schema(migration.sql, scope.schema))
        await db.execute(in_schema(INSERT, scope.schema), migration.number, migration.name, migration.checksum)


async def applied(db: Connection, scope: Scope) -> dict[int, tuple[str, str]]:
    if not await db.fetchval(in_schema(HAS_TABLE, scope.schema)):
        return {}
    rows: list[asyncpg.Record] = await db.fetch(in_schema(ROWS, scope.schema))
    return {row[0]: (row[1], row[2]) for row in rows}
