"""I22: what an engine still holds of runs when there is nothing left to do, wherever it keeps it."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from perdure import Engine
from perdure.engine.attempt import Attempt
from perdure.engine.live import LiveRun
from perdure.model.runs import RunRow
from perdure.watcher import Watcher

OF_RUNS = (LiveRun, Attempt, RunRow, Watcher)
CONTAINERS = (list, tuple, set, frozenset, deque)


def leaks(engine: Engine) -> list[str]:
    """Descriptions of objects that belong to runs."""
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("engine", engine)]
    found = []
    while waiting:
        path, one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, OF_RUNS):
            found.append(f"{path}: {one!r}")
        else:
            waiting.extend((f"{path}{step}", part) for step, part in parts(one))
    return found


def parts(one: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(one, dict):
        yield from ((f"[{key!r}]", value) for key, value in one.items())
        yield from enumerated(one)
    elif isinstance(one, CONTAINERS):
        yield from enumerated(one)
    elif type(one).__module__.startswith(("perdure.engine", "perdure.client", "perdure.watcher")):
        yield from ((f".{name}", value) for name, value in attributes(one))


def enumerated(many: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    return ((f"[{number}]", part) for number, part in enumerate(many))


def attributes(one: Any) -> Iterator[tuple[str, Any]]:
    yield from vars(one).items() if hasattr(one, "__dict__") else ()
    for kind in type(one).__mro__:
        for name in getattr(kind, "__slots__", ()):
            if hasattr(one, name):
                yield name, getattr(one, name)
