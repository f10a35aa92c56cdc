"""What can endanger an SQLite store: its settings, its file system, its disk, and the rights to its files."""

import os
import shutil
from collections.abc import Iterator

import apsw

from perdure.model.findings import Finding, Level
from perdure.store.sqlite.database import Database
from perdure.store.sqlite.filesystems import MOUNTS, file_system_of
from perdure.store.sqlite.statements import fetch

MIB = 1024 * 1024
FREE_BYTES_LEAST = 64 * MIB
FREE_BYTES_NOTED = 1024 * MIB
WAL_BYTES_MOST = 1024 * MIB
_SYNCHRONOUS = {0: "off", 1: "normal", 2: "full", 3: "extra"}
_IN_MEMORY = {"tmpfs", "ramfs"}


def durability(db: apsw.Connection) -> Finding:
    """Of the connection that writes."""
    mode = str(fetch(db, "pragma journal_mode")[0][0])
    synchronous = _SYNCHRONOUS.get(fetch(db, "pragma synchronous")[0][0], "unknown")
    what = f"SQLite {apsw.sqlite_lib_version()}, journal_mode={mode}, synchronous={synchronous}"
    if mode == "memory":
        return Finding("durability", Level.NOTE, f"{what}: the store ends with its process")
    if mode != "wal" or synchronous not in ("full", "extra"):
        remedy = "a store needs journal_mode=wal and synchronous=full: stop everything that opens the file with other settings"
        return Finding("durability", Level.WRONG, f"{what}: what was acknowledged may be lost in a power cut", remedy)
    return Finding("durability", Level.OK, what)


def surroundings(database: Database) -> Iterator[Finding]:
    """Of the file and its folder; looks only."""
    if database.is_memory:
        return
    yield _file_system(database.path)
    yield _disk(database.path)
    yield _wal(database.path)
    yield _privileges(database.path)


def _file_system(path: str) -> Finding:
    if not os.path.exists(MOUNTS):
        return Finding("file system", Level.NOTE, "this system does not tell its type", "keep the store on a disk of this machine")
    with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
        mounts = file.read().splitlines()
    found = file_system_of(os.path.realpath(path), mounts) or "unknown"
    if found in _IN_MEMORY:
        remedy = "move the store to a disk if it is to outlive a restart of the machine"
        return Finding("file system", Level.NOTE, f"{found}: it is kept in memory", remedy)
    return Finding("file system", Level.OK, f"{found}, not a network")


def _disk(path: str) -> Finding:
    usage = shutil.disk_usage(os.path.dirname(path))
    what = f"{usage.free / MIB:,.0f} MiB free; the store takes {_size(path) / MIB:,.1f} MiB"
    if usage.free < FREE_BYTES_LEAST:
        return Finding("disk", Level.WRONG, what, "free space at once: on a full disk nothing is acknowledged and nothing goes on")
    if usage.free < FREE_BYTES_NOTED:
        return Finding("disk", Level.NOTE, what, "free space soon")
    return Finding("disk", Level.OK, what)


def _wal(path: str) -> Finding:
    size = _size(f"{path}-wal")
    if size > WAL_BYTES_MOST:
        remedy = "a program reads in one long transaction, so that it cannot be copied back: find it (lsof) and end its transaction"
        return Finding("write-ahead log", Level.WRONG, f"{size / MIB:,.0f} MiB", remedy)
    return Finding("write-ahead log", Level.OK, f"{size / MIB:,.1f} MiB")


def _privileges(path: str) -> Finding:
    """Workers of several users need the same rights: to the file, what stands beside it, and the locks in its folder."""
    beside = [path, f"{path}-wal", f"{path}-shm", os.path.dirname(path), f"{path}-locks"]
    refused = [one for one in beside if os.path.exists(one) and not os.access(one, os.W_OK)]
    if refused:
        return Finding("privileges", Level.WRONG, f"this user cannot write {', '.join(refused)}", "give the rights, or run as the owner")
    owners = {os.stat(one).st_uid for one in beside if os.path.exists(one)}
    if len(owners - {0}) > 1:
        remedy = "run all workers as one user: one that cannot write a file of another stops with an error"
        return Finding("privileges", Level.NOTE, f"its files belong to several users ({', '.join(map(str, sorted(owners)))})", remedy)
    return Finding("privileges", Level.OK, "its files and their folder can be written")


def _size(path: str) -> int:
    return os.stat(path).st_size if os.path.exists(path) else 0
