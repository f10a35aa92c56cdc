"""`django.db.connection`: what is written goes through the connection that Django itself uses."""

from typing import Any

from perdure.errors import BadInput
from perdure.store.callers.kinds import not_in_a_transaction
from perdure.store.callers.of_psycopg import OfPsycopg
from perdure.store.callers.of_sqlite3 import OfSqlite3

NAMED = "Django's connection"


def of_django(db: Any) -> OfPsycopg | OfSqlite3:
    """Raises BadInput."""
    if db.connection is None or not (db.in_atomic_block or not db.get_autocommit()):
        raise not_in_a_transaction(NAMED, "use it inside of `with transaction.atomic():`")
    if db.vendor == "sqlite":
        return OfSqlite3(db.connection)
    if db.vendor == "postgresql" and type(db.connection).__module__.partition(".")[0] == "psycopg":
        return OfPsycopg(db.connection, is_async=False)
    raise BadInput(
        f"transaction= was given {NAMED} to {db.display_name} by {type(db.connection).__module__}; it takes part on SQLite, and "
        "on PostgreSQL with psycopg (version 3)"
    )
