"""Durable workflows for Python: ordinary `async def` functions that survive the process they run in."""

from importlib import import_module
from typing import TYPE_CHECKING

from perdure import errors

if TYPE_CHECKING:
    from perdure.authoring.changes import continue_as_new, patched
    from perdure.authoring.current import Info
    from perdure.authoring.saga import saga
    from perdure.authoring.step import step
    from perdure.authoring.values import info, now, random, set_status, uuid4
    from perdure.authoring.waiting import receive, sleep_until
    from perdure.authoring.workflow import workflow
    from perdure.client import Client
    from perdure.engine.service import Engine
    from perdure.model.retry import Retry
    from perdure.model.troubles import Trouble
    from perdure.run import Run, RunStatus

__all__ = [
    "Client",
    "Engine",
    "Info",
    "Retry",
    "Run",
    "RunStatus",
    "Trouble",
    "continue_as_new",
    "errors",
    "info",
    "now",
    "patched",
    "random",
    "receive",
    "saga",
    "set_status",
    "sleep_until",
    "step",
    "uuid4",
    "workflow",
]

_HOMES = {
    "Client": "perdure.client",
    "Engine": "perdure.engine.service",
    "Info": "perdure.authoring.current",
    "Retry": "perdure.model.retry",
    "Run": "perdure.run",
    "RunStatus": "perdure.run",
    "Trouble": "perdure.model.troubles",
    "continue_as_new": "perdure.authoring.changes",
    "info": "perdure.authoring.values",
    "now": "perdure.authoring.values",
    "patched": "perdure.authoring.changes",
    "random": "perdure.authoring.values",
    "receive": "perdure.authoring.waiting",
    "saga": "perdure.authoring.saga",
    "set_status": "perdure.authoring.values",
    "sleep_until": "perdure.authoring.waiting",
    "step": "perdure.authoring.step",
    "uuid4": "perdure.authoring.values",
    "workflow": "perdure.authoring.workflow",
}


def __getattr__(name: str) -> object:
    """Load what is asked for, and only that: the command line need not wait for the engine."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'perdure' has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
