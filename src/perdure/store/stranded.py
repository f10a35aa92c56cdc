"""Which runs nobody who is alive can take, told from what the live workers know."""

from collections.abc import Collection, Sequence

from perdure.clock import Instant, Microseconds
from perdure.model.runs import WorkerRow
from perdure.model.troubles import Stranded
from perdure.store.damaged_text import DamagedText
from perdure.store.rows import Row


class Knowledge:
    """Which workflows live workers know, on which Pythons."""

    def __init__(self, workers: Sequence[WorkerRow]) -> None:
        self._pythons: dict[str, set[str]] = {}
        for worker in workers:
            if worker.state == "live":
                for workflow in worker.workflows:
                    self._pythons.setdefault(workflow, set()).add(worker.python)

    def pythons(self, workflow: str) -> set[str]:
        """What `only_python` of a run may be so that somebody can take it."""
        known = self._pythons.get(workflow)
        return set() if known is None else {"", *known}


def over(namespace: str, now: Instant, rows: Sequence[Row], knowledge: Knowledge, dead: Collection[str]) -> Sequence[Row]:
    """Of what was noted: the runs that are not stranded any more, as the values of `forget`."""
    gone = []
    for run_id, at, workflow, only_python, _state, wake_at, owner in rows:
        is_waiting = (wake_at is not None and wake_at <= now) or owner in dead
        if workflow is None or not is_waiting or only_python in knowledge.pythons(workflow):
            gone.append((namespace, run_id, "stranded", at))
    return gone


def fresh(namespace: str, now: Instant, due_for: Microseconds, known: Sequence[Row], found: Sequence[Stranded]) -> Sequence[Row]:
    """Those found that are not noted yet, as the values of `note_stranded`.

    Of an orphan nobody knows since when it waits: it is told if it still waits after as long from now.
    """
    names = {row[0] for row in known}
    return [
        (namespace, one.run_id, *((now, now + due_for) if one.due_since is None else (one.due_since, now)))
        for one in found
        if one.run_id not in names and type(one.run_id) is not DamagedText  # else nothing that is noted finds it again
    ]
