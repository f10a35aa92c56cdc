"""Which source files have changed: looked for by polling, which works in containers, on shared folders and without a dependency."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

FILES_MOST = 20_000
_LEFT_OUT = {"__pycache__", "node_modules", "site-packages", "build", "dist"}

Seen = dict[str, tuple[int, int]]
"""Path to time of change in nanoseconds and size."""


def folders_of(apps: Sequence[str], also: Sequence[str] = ()) -> list[str]:
    """Where the code of these APPs lies: the folder of a file, the current one of a module."""
    places = [app.rpartition(":")[0] if ":" in app and app.rpartition(":")[2].isidentifier() else app for app in apps]
    folders = [str(Path(place).resolve().parent if place.endswith(".py") else Path.cwd()) for place in places]
    wanted = sorted({*folders, *(str(Path(one).resolve()) for one in also)})
    return [one for one in wanted if not any(one != other and one.startswith(other.rstrip(os.sep) + os.sep) for other in wanted)]


def look(folders: Sequence[str]) -> Seen:
    """Every Python file below the folders, hidden ones and virtual environments left out; at most FILES_MOST."""
    seen: Seen = {}
    for folder in folders:
        for path, status in _python_files(folder):
            if len(seen) >= FILES_MOST:
                return seen
            seen[path] = (status.st_mtime_ns, status.st_size)
    return seen


def _python_files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    waiting = [folder]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:  # it was removed meanwhile, or is not ours to read: nothing in it is loaded either
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in _LEFT_OUT and not os.path.exists(os.path.join(entry.path, "pyvenv.cfg")):
                        waiting.append(entry.path)
                elif entry.name.endswith(".py"):
                    yield entry.path, entry.stat()
            except OSError:  # it was removed between two calls: the next look does not see it
                continue


def changed(before: Seen, after: Seen) -> list[str]:
    """Files that are new, gone or different."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def complaint_of(paths: Sequence[str]) -> str | None:
    """The first file that is no Python, as the interpreter would say it; None if all of them are, or are gone."""
    import traceback  # for a mistake only

    for path in paths:
        try:
            compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)
        except FileNotFoundError:  # it was removed: whoever imports it will say so
            continue
        except (SyntaxError, ValueError) as error:
            return "".join(traceback.format_exception_only(error)).rstrip()
    return None
