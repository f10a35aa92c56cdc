"""A copy of a store that is taken while workers write, and that any worker can go on with."""

import os
from pathlib import Path

import apsw

from perdure.errors import BadInput, StoreError
from perdure.store.sqlite.database import BUSY_SECONDS, Database, patience, refuse_foreign_database
from perdure.store.sqlite.failures import meaning_of
from perdure.store.sqlite.statements import fetch


def back_up(path: str, target: str) -> int:
    """One moment of the store, all that was acknowledged before the call included, in a new file; its size in bytes.

    Workers go on meanwhile. The file is complete, checked and on disk when it has its name. In it all workers are dead: their leases
    are of the original. Raises StoreNotFound, NotAStore, BadInput where the target exists or its folder does not, StoreError where it
    cannot be written.
    """
    place = Path(target).absolute()
    if os.path.lexists(place):
        raise BadInput(f"{place} exists; choose a new name, for a backup never writes over anything")
    if not place.parent.is_dir():
        raise BadInput(f"there is no folder {place.parent}; create it, or correct the name")
    database = Database(path)
    database.examine(create=False)
    partial = place.with_name(f"{place.name}.partial")
    partial.unlink(missing_ok=True)  # of a backup that was cut off
    try:
        _copy(database, partial)
        _let_go_of_leases(partial)
        _make_durable(partial, place)
    except apsw.Error as error:
        raise meaning_of(error, str(partial)) from error
    except OSError as error:
        raise StoreError(f"{place} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    return place.stat().st_size


def _copy(database: Database, partial: Path) -> None:
    """With one statement, which sees one moment; SQLite's other way begins anew whenever another process has written."""
    db = database.connect_reader()
    try:
        refuse_foreign_database(db, database.path)
        db.pragma("query_only", 0)  # else it may not write the copy either
        fetch(db, "vacuum into ?", (str(partial),))
    finally:
        db.close()


def _let_go_of_leases(partial: Path) -> None:
    db = apsw.Connection(str(partial), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        db.set_busy_handler(patience(BUSY_SECONDS))
        db.pragma("synchronous", "full")
        fetch(db, "update workers set state = 'dead'")
        (said,) = fetch(db, "pragma quick_check(1)")[0]
        if said != "ok":
            raise StoreError(f"the copy is damaged, and so, it seems, is the store: {said}; keep the backups you have")
    finally:
        db.close()


def _make_durable(partial: Path, place: Path) -> None:
    """The content before the name, then the name."""
    _sync(partial)
    os.link(partial, place)  # unlike a rename it never writes over a file that came meanwhile
    partial.unlink()
    _sync(place.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
