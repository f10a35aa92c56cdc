"""What the figures were measured on, as far as it explains them."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import apsw
from floor import lone_commit_milliseconds, sync_milliseconds


def facts(folder: Path, store: str = "sqlite") -> dict[str, str]:
    return machine() | (of_sqlite(folder) if store == "sqlite" else of_postgresql(folder))


def machine() -> dict[str, str]:
    return {
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f} before the first scenario",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "pydantic": version("pydantic"),
    }


def of_sqlite(folder: Path) -> dict[str, str]:
    return {
        "SQLite": f"{apsw.sqlite_lib_version()} through apsw {apsw.apsw_version()}",
        "settings": "defaults: WAL, synchronous=FULL, one process, asyncio's own event loop",
        "sync of a page": f"{sync_milliseconds(folder):.2f} ms (p50)",
        "commit of one row": f"{lone_commit_milliseconds(folder):.2f} ms (p50)",
    }


def of_postgresql(folder: Path) -> dict[str, str]:
    from on_postgresql import facts as of_server  # SQLite does without it

    return of_server(folder.parent)
