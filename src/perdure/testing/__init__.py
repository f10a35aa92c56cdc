"""Tools for the tests of workflows: time that stands still, steps faked or real, crashes at every record, races in every order."""

from perdure.testing.crashes import CrashDifference, CrashReport, crash_everywhere
from perdure.testing.doubles import Call
from perdure.testing.harness import NotEnded, VirtualEngine
from perdure.testing.orders import every_order
from perdure.testing.scenarios import Ending, Signal

engine = VirtualEngine

__all__ = [
    "Call",
    "CrashDifference",
    "CrashReport",
    "Ending",
    "NotEnded",
    "Signal",
    "VirtualEngine",
    "crash_everywhere",
    "engine",
    "every_order",
]
