"""Tools for the tests of workflows: time that stands still, steps faked or real, crashes at every record, races in every order."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perdure.testing.crashes import CrashDifference, CrashReport, crash_everywhere
    from perdure.testing.doubles import Call
    from perdure.testing.harness import NotEnded, VirtualEngine, engine
    from perdure.testing.histories import ReplayDifference, replay
    from perdure.testing.orders import every_order
    from perdure.testing.scenarios import Ending, Signal

__all__ = [
    "Call",
    "CrashDifference",
    "CrashReport",
    "Ending",
    "NotEnded",
    "ReplayDifference",
    "Signal",
    "VirtualEngine",
    "crash_everywhere",
    "engine",
    "every_order",
    "replay",
]

_HOMES = {
    "Call": "doubles",
    "CrashDifference": "crashes",
    "CrashReport": "crashes",
    "Ending": "scenarios",
    "NotEnded": "harness",
    "ReplayDifference": "histories",
    "Signal": "scenarios",
    "VirtualEngine": "harness",
    "crash_everywhere": "crashes",
    "engine": "harness",
    "every_order": "orders",
    "replay": "histories",
}


def __getattr__(name: str) -> object:
    """Load what is asked for, and only that: pytest imports this package for its plugin, whether or not a test needs the engine."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'perdure.testing' has no attribute {name!r}")
    value: object = getattr(import_module(f"perdure.testing.{home}"), name)
    globals()[name] = value
    return value
