"""Word that somebody wrote to the store: dropped, late, or told twice, as the seed says."""

from collections.abc import Callable, Sequence
from functools import partial

from tests.simulation.faults import Faults
from tests.simulation.watching import RowChange
from tests.simulation.world import Process


class Hints:
    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._watchers: dict[tuple[Process, int], Callable[[], None]] = {}
        self._made = 0
        self._told_at: dict[str, int] = {}
        self._lost: dict[tuple[str, str], int] = {}  # (process, run) -> when word of its wake-up was lost

    def watch(self, process: Process, callback: Callable[[], None]) -> Callable[[], None]:
        self._made += 1
        place = (process, self._made)
        self._watchers[place] = callback
        return lambda: self._stop(place)

    def _stop(self, place: tuple[Process, int]) -> None:
        self._watchers.pop(place, None)

    def wrote(self, writer: Process, changes: Sequence[RowChange]) -> None:
        """Everybody else is told, perhaps."""
        world = writer.world
        woken = [change.row["id"] for change in changes if change.table == "runs" and is_wake_up(change)]
        self._see_claims(writer, changes)
        for (process, number), callback in list(self._watchers.items()):
            if not process.is_alive:
                del self._watchers[process, number]
            elif process is not writer:
                delays = self._faults.hint_delays()
                for run_id in woken if not delays else ():
                    self._lost[process.label, run_id] = world.now
                for delay in delays:
                    world.later(delay, partial(self._tell, process, callback), process)

    def _tell(self, process: Process, callback: Callable[[], None]) -> None:
        self._told_at[process.label] = process.world.now
        process.loop.call_soon(callback)

    def _see_claims(self, claimer: Process, changes: Sequence[RowChange]) -> None:
        for change in changes:
            if change.table == "runs" and change.new and change.new["owner"] and change.old and not change.old["owner"]:
                lost_at = self._lost.pop((claimer.label, change.new["id"]), None)
                if lost_at is not None and self._told_at.get(claimer.label, 0) < lost_at:
                    claimer.world.saw("a hint was lost but the sweep woke")


def is_wake_up(change: RowChange) -> bool:
    """A signal makes a parked run due."""
    old, new = change.old, change.new
    return bool(old and new and old["state"] == new["state"] == "waiting" and old["wake_at"] != new["wake_at"])
