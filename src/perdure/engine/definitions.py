"""Which code a workflow's name stands for, also where a cell of a notebook defines it anew while an engine is open."""

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from perdure.authoring.workflow import Workflow
from perdure.errors import NameTaken, UnknownWorkflow
from perdure.store.opening import place_of_store

Workflows = Mapping[str, Workflow[..., Any]]
ANEW = "`await engine.close()`, then open a new one with it: `engine = await Engine(…).open()`"


def by_name(workflows: Sequence[Workflow[..., Any]]) -> dict[str, Workflow[..., Any]]:
    """Raises TypeError where they are no list, UnknownWorkflow, NameTaken."""
    given: object = workflows
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"workflows must be a list, not {given!r}: Engine(url, [fulfil])")
    named: dict[str, Workflow[..., Any]] = {}
    for one in workflows:
        if not isinstance(one, Workflow):
            raise UnknownWorkflow(f"{one!r} is not a workflow: decorate it with @workflow")
        if one.name in named and named[one.name] is not one:
            raise NameTaken(f"two workflows are named {one.name!r}; give one of them a name: @workflow(name=…)")
        named[one.name] = one
    return named


def refuse_another(named: Workflows, given: Workflow[..., Any]) -> None:
    """What is started is what was given. Raises NameTaken where the engine would run other code under its name."""
    known = named.get(given.name, given)
    if known is given:
        return
    if place_of(known) == place_of(given):
        raise NameTaken(f"{given.name!r} was defined anew after this Engine had been opened, which still runs what it was before: {ANEW}")
    raise NameTaken(
        f"this Engine runs another workflow named {given.name!r} ({place_of(known)}, not {place_of(given)}): give it the right one, "
        "or one of them another name: @workflow(name=…)"
    )


class OpenEngines:
    """Those of this process, with what they run, on which store and on which event loop."""

    def __init__(self) -> None:
        self._open: WeakKeyDictionary[object, tuple[object, asyncio.AbstractEventLoop, Workflows]] = WeakKeyDictionary()

    def add(self, engine: object, url: str, namespace: str, named: Workflows) -> None:
        """Raises NameTaken where one of them would run what a workflow was before it was defined anew."""
        place = place_of_store(url)
        if place is None:
            return  # each has its own
        store = (place, namespace, os.getpid())
        for other, loop, theirs in self._open.values():
            stale = [repr(name) for name in named if is_defined_anew(theirs.get(name, named[name]), named[name])]
            if other == store and stale and not loop.is_closed():
                raise NameTaken(
                    f"an Engine of this process is still open on this store with what {', '.join(stale)} was before it was defined anew; "
                    f"runs would go to either. Close that one first: {ANEW}. Where nothing refers to it any more, restart the process "
                    "(in a notebook: the kernel); no run is lost by that"
                )
        self._open[engine] = (store, asyncio.get_running_loop(), named)

    def remove(self, engine: object) -> None:
        self._open.pop(engine, None)


def is_defined_anew(first: Workflow[..., Any], second: Workflow[..., Any]) -> bool:
    """By running the same lines again, as a notebook and a reload do; functions inside of functions are made anew on purpose."""
    return first is not second and place_of(first) == place_of(second) and "<locals>" not in place_of(first)


def place_of(workflow: Workflow[..., Any]) -> str:
    return f"{workflow.function.__module__}.{workflow.function.__qualname__}"
