"""Applies the numbered migrations to a database, all that are pending in one transaction."""

import apsw

from perdure.clock import Clock
from perdure.store.callers.kinds import SqliteStatements
from perdure.store.migrations import known_migrations, pending_migrations, schema_status
from perdure.store.protocol import SchemaStatus
from perdure.store.sqlite.statements import change, fetch

PACKAGE = "perdure.store.sqlite.migrations"

HAS_TABLE = "select 1 from sqlite_schema where type = 'table' and name = 'perdure_migrations'"
CREATE_TABLE = (
    "create table if not exists perdure_migrations "
    "(number integer primary key, name text not null, checksum text not null, applied_at integer not null) strict"
)


def read_status(db: SqliteStatements) -> SchemaStatus:
    """Raises SchemaTooNew, and StoreError where a migration was edited."""
    return schema_status(known_migrations(PACKAGE), applied(db))


def apply_pending(db: apsw.Connection, clock: Clock) -> None:
    """In a transaction: all of them, or nothing, so that nobody who opens the store meanwhile finds it half made.

    The lock comes first, so of two processes that migrate at once the second finds the work done.
    """
    change(db, CREATE_TABLE)
    for migration in pending_migrations(known_migrations(PACKAGE), applied(db)):
        change(db, migration.sql)
        row = (migration.number, migration.name, migration.checksum, clock.now())
        change(db, "insert into perdure_migrations (number, name, checksum, applied_at) values (?, ?, ?, ?)", row)


def applied(db: SqliteStatements) -> dict[int, tuple[str, str]]:
    if not fetch(db, HAS_TABLE):
        return {}
    rows = fetch(db, "select number, name, checksum from perdure_migrations")
    return {number: (name, checksum) for number, name, checksum in rows}
