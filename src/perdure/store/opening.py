"""From an address to the store behind it."""

import os
from typing import TYPE_CHECKING

from perdure.clock import Clock, HostClock
from perdure.errors import StoreError
from perdure.names import CHARACTERS_MOST, checked_name
from perdure.settings import DEFAULTS, Settings
from perdure.store.protocol import Store
from perdure.store.sqlite.database import MEMORY
from perdure.store.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from perdure.store.inspection import Inspection

FORMS = "sqlite:///relative.db, sqlite:////absolute.db, sqlite:///:memory: or postgresql://user:password@host/database"


def open_store(url: str, *, namespace: str = "default", clock: Clock | None = None, settings: Settings = DEFAULTS) -> Store:
    """The store at this address, to be opened with `await store.open(create=…, migrate=…)`.

    Raises StoreError for an address of another form, BadInput for a namespace that is no name.
    """
    checked_name(namespace, "namespace", CHARACTERS_MOST)
    if is_postgresql(url):
        return open_postgresql(url, namespace, clock, settings)
    return SqliteStore(path_of(url), namespace=namespace, clock=clock or HostClock(), settings=settings)


def open_postgresql(url: str, namespace: str, clock: Clock | None, settings: Settings) -> Store:
    """Its clock is that of the database; only a test brings another. Raises StoreError where the extra is not installed."""
    need_asyncpg()
    from perdure.store.postgresql.address import address_of
    from perdure.store.postgresql.store import PostgresqlStore

    return PostgresqlStore(address_of(url), namespace=namespace, clock=None if isinstance(clock, HostClock) else clock, settings=settings)


def inspect_postgresql(url: str, namespace: str) -> "Inspection":
    """Raises StoreError where the extra is not installed."""
    need_asyncpg()
    from perdure.store.postgresql.address import address_of
    from perdure.store.postgresql.inspection import PostgresqlInspection

    return PostgresqlInspection(address_of(url), namespace=namespace)


def is_postgresql(url: str) -> bool:
    return url.partition("://")[0] in {"postgresql", "postgres"}


def need_asyncpg() -> None:
    from importlib.util import find_spec  # commands on SQLite do without it

    if find_spec("asyncpg") is None:
        raise StoreError("a store on PostgreSQL needs asyncpg, which is not installed: pip install 'perdure[postgresql]'")


def open_inspection(url: str, *, namespace: str = "default") -> "Inspection":
    """The same store for reading only, without a trace. Raises what `open_store` raises."""
    checked_name(namespace, "namespace", CHARACTERS_MOST)
    if is_postgresql(url):
        return inspect_postgresql(url, namespace)
    from perdure.store.sqlite.inspection import SqliteInspection  # most commands do without it

    return SqliteInspection(path_of(url), namespace=namespace)


def back_up_store(url: str, target: str) -> int:
    """Copy the store into a new file while workers go on; its size in bytes. Raises StoreError."""
    from perdure.store.sqlite.backing_up import back_up  # one command does it

    if is_postgresql(url):
        raise StoreError("a store on PostgreSQL is backed up with the means of PostgreSQL: pg_dump, or a base backup with its WAL")
    path = path_of(url)
    if path == MEMORY:
        raise StoreError("a store in memory ends with its process and has no backup; use a file")
    return back_up(path, target)


def place_of_store(url: str) -> str | None:
    """Names the store within this machine; None where each that opens it has its own. Raises StoreError for another form."""
    if is_postgresql(url):
        return url
    path = path_of(url)
    return None if path == MEMORY else os.path.abspath(path)


def path_of(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme != "sqlite":
        raise StoreError(f"{url!r} is not the address of a store; use {FORMS}")
    path = rest.removeprefix("/")
    if not rest.startswith("/") or not path or "?" in path or "\0" in path:
        raise StoreError(f"{url!r} names no file; use {FORMS} (no options after a question mark)")
    return path
