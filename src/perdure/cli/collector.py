"""How processes of the command line set Python's garbage collector: those that hold many runs, and those that end at once."""

import gc

_NEW_OBJECTS_OF_A_COMMAND = 50_000
_NEW_OBJECTS = 20_000
_YOUNG_COLLECTIONS, _MIDDLE_COLLECTIONS = 50, 100


def collect_rarely() -> None:
    """Modules that load make no garbage: looking for it meanwhile would take a tenth of a short command's time."""
    gc.set_threshold(_NEW_OBJECTS_OF_A_COMMAND)


def tune_collector() -> None:
    """Runs in memory are many objects and no garbage: looking through them again and again would cost a third of the time."""
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, _YOUNG_COLLECTIONS, _MIDDLE_COLLECTIONS)
