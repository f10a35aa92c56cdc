"""What was noted as stranded is over once the run is gone, waits no more, or can be taken by somebody who is alive."""

from dataclasses import replace

import pytest

from perdure.model.runs import WorkerRow
from perdure.store.rows import Row
from perdure.store.stranded import Knowledge, over

NOW, NOTED = 1000, 400
DUE: Row = ("call", NOTED, "hear", "", "waiting", NOW, None)
OWNED: Row = ("call", NOTED, "hear", "", "running", None, "worker-1")
KNOWS = WorkerRow("worker-2", "here", "boot", 1, "lock", ("hear",), "3.11", "live", 0, NOW, 0)


def is_over(row: Row, *workers: WorkerRow, dead: tuple[str, ...] = ()) -> bool:
    gone = over("default", NOW, [row], Knowledge(workers), dead)
    assert gone in ([], [("default", "call", "stranded", NOTED)])
    return bool(gone)


def test_a_run_that_is_due_or_belongs_to_the_dead_and_that_nobody_knows_is_still_stranded() -> None:
    assert not is_over(DUE)
    assert not is_over(OWNED, dead=("worker-1",))
    assert not is_over(DUE, replace(KNOWS, workflows=("other",)), replace(KNOWS, state="dead"))


@pytest.mark.parametrize(
    "row",
    [
        pytest.param((*DUE[:2], None, *DUE[3:]), id="deleted"),
        pytest.param((*DUE[:5], None, None), id="waits for a signal"),
        pytest.param((*DUE[:5], NOW + 1, None), id="is due later"),
        pytest.param(OWNED, id="is owned by a worker that is alive"),
    ],
)
def test_a_run_that_was_taken_in_time_is_not_stranded_any_more_although_its_taker_is_gone(row: Row) -> None:
    assert is_over(row)


def test_a_run_that_somebody_alive_can_take_is_not_stranded_any_more() -> None:
    assert is_over(DUE, KNOWS)
    assert is_over((*DUE[:3], "3.11", *DUE[4:]), KNOWS)
    assert not is_over((*DUE[:3], "3.99", *DUE[4:]), KNOWS)
