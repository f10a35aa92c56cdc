"""The numbered migrations of a store: which there are, which are applied, and what must not be."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from perdure.errors import SchemaTooNew, StoreError
from perdure.store.protocol import SchemaStatus


@dataclass(frozen=True, slots=True)
class Migration:
    """One file, never edited once released."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


@cache
def known_migrations(package: str) -> tuple[Migration, ...]:
    """What `package` (a folder of `0001_name.sql` files) holds, in order."""
    folder = import_module(package).__path__[0]
    names = sorted(name for name in os.listdir(folder) if name.endswith(".sql"))
    found = tuple(Migration(int(name[:4]), name.removesuffix(".sql"), text_of(os.path.join(folder, name))) for name in names)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise StoreError(f"the migrations of this installation are not numbered from 1 on without gaps: {', '.join(names)}")
    return found


def text_of(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def pending_migrations(known: tuple[Migration, ...], applied: Mapping[int, tuple[str, str]]) -> tuple[Migration, ...]:
    """Those not applied yet. `applied` is (name, checksum) by number.

    Raises SchemaTooNew where the store has migrations that are not known here, StoreError where one was edited after it had been applied.
    """
    newest = len(known)
    unknown = [name for number, (name, _) in sorted(applied.items()) if number > newest]
    if unknown:
        raise SchemaTooNew(f"a newer perdure has migrated the store ({', '.join(unknown)}); this one knows {newest}: upgrade perdure")
    for migration in known:
        if migration.number in applied and applied[migration.number][1] != migration.checksum:
            raise StoreError(
                f"migration {migration.name} is not the one that was applied to this store: a migration was edited after its release; "
                "reinstall perdure"
            )
    return tuple(migration for migration in known if migration.number not in applied)


def schema_status(known: tuple[Migration, ...], applied: Mapping[int, tuple[str, str]]) -> SchemaStatus:
    pending = pending_migrations(known, applied)
    return SchemaStatus(max(applied, default=0), len(known), tuple(migration.name for migration in pending))
