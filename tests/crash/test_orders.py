"""SIGKILL around a cancel, a pause and a resume: what was acknowledged is done by whoever comes next, and everything comes to its end."""

from collections.abc import Callable

import pytest

from tests.crash.harness import Harness, order, recorded, result, signal, start
from tests.crash.options import Crash
from tests.crash.sampling import SOME_AND_ALL, chosen

LANES = (
    (start("cleans_up", "cancelled"), recorded("cancelled", 2), order("cancel", "cancelled"), result("cancelled")),
    (
        start("everything", "held", 1),
        recorded("held", 1),
        order("pause", "held"),
        signal("held", 1),
        order("resume", "held"),
        result("held"),
    ),
    (
        start("cleans_up", "both"),
        order("pause", "both"),
        order("resume", "both"),
        recorded("both", 2),
        order("cancel", "both"),
        result("both"),
    ),
)
POINTS = ["run.claimed", "checkpoint.before", "checkpoint.after", "attempt.begin", "attempt.end", "run.let_go", "run.replayed", "run.ended"]


@pytest.fixture
def passings(new_harness: Callable[[], Harness]) -> dict[str, int]:
    """How often each point is passed when nothing goes wrong."""
    harness = new_harness()
    assert harness.worker(lanes=LANES, counts=True).wait() == 0, harness.said()
    harness.check()
    states = {run.id: run.state for run in harness.store.runs()}
    assert states == {"cancelled": "cancelled", "held": "completed", "both": "cancelled"}
    counted: dict[str, int] = harness.server.of("counted")[0]["points"]
    return counted


@SOME_AND_ALL
@pytest.mark.parametrize("point", POINTS)
def test_f01_f20_killed_around_what_people_want_of_runs_it_is_done_all_the_same(
    new_harness: Callable[[], Harness], passings: dict[str, int], point: str, share: str
) -> None:
    cases = chosen(range(1, passings.get(point, 0) + 1), 4, share)
    for kth in cases:
        harness = new_harness()
        harness.launch(lanes=LANES, crash=Crash(point, kth)).wait()
        harness.heal(*LANES)
        states = {run.id: run.state for run in harness.store.runs()}
        assert states == {"cancelled": "cancelled", "held": "completed", "both": "cancelled"}
