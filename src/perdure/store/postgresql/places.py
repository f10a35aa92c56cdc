"""Where workers of one host leave what the others there can see."""

import getpass
import tempfile
from pathlib import Path

from perdure.store.postgresql.connections import Connection
from perdure.store.postgresql.queries import in_schema
from perdure.store.postgresql.scope import Scope

BORN = "select applied_at from perdure.perdure_migrations where number = 1"


async def locks_folder(db: Connection, scope: Scope) -> str:
    """Named by the moment the store was created, for one server has many names."""
    born = await db.fetchval(in_schema(BORN, scope.schema))
    return str(Path(tempfile.gettempdir(), f"perdure-{getpass.getuser()}", f"{born}-{scope.schema}-locks"))
