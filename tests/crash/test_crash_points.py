"""SIGKILL at each named point of the engine, at each of its passings, also of the process that recovers from the one before."""

from collections.abc import Callable

import pytest

from tests.crash.checker import place
from tests.crash.harness import Harness, result, signal, start
from tests.crash.options import Crash
from tests.crash.sampling import SOME_AND_ALL, chosen

LANES = (
    (start("sequence", "line", 3), result("line")),
    (start("everything", "all", 2), signal("all", 1), signal("all", 2), result("all")),
    (start("either", "deadline", 0.05), result("deadline")),
)
RUNNING = [
    "lease.registered",
    "sweep.done",
    "run.claimed",
    "checkpoint.before",
    "checkpoint.after",
    "attempt.begin",
    "attempt.end",
    "run.ended",
]
RECOVERING = ["lease.registered", "sweep.done", "run.claimed", "run.loaded", "run.replayed", "checkpoint.before", "checkpoint.after"]


@pytest.fixture
def passings(new_harness: Callable[[], Harness]) -> dict[str, int]:
    """How often each point is passed when nothing goes wrong."""
    harness = new_harness()
    assert harness.worker(lanes=LANES, counts=True).wait() == 0
    counted: dict[str, int] = harness.server.of("counted")[0]["points"]
    return counted


def test_b62_without_faults_each_attempt_begins_once(harness: Harness) -> None:
    worker = harness.worker(lanes=LANES)
    assert worker.wait() == 0, harness.said()
    harness.check()
    attempts = [(*place(begin), begin["attempt"]) for begin in harness.server.of("begin")]
    assert len(attempts) == len(set(attempts))


@SOME_AND_ALL
@pytest.mark.parametrize("point", RUNNING)
def test_f01_b41_b62_killed_at_a_point_everything_is_done_and_nothing_twice(
    new_harness: Callable[[], Harness], passings: dict[str, int], point: str, share: str
) -> None:
    struck = 0
    cases = chosen(range(1, passings[point] + 1), 6, share)
    for kth in cases:
        harness = new_harness()
        harness.launch(lanes=LANES, crash=Crash(point, kth)).wait()
        struck += bool(harness.server.of("struck"))
        harness.heal(*LANES)
    assert struck >= len(cases) // 2, "the kills did not happen"


@SOME_AND_ALL
@pytest.mark.parametrize("point", RECOVERING)
def test_b1_killed_while_recovering_from_a_kill(new_harness: Callable[[], Harness], point: str, share: str) -> None:
    struck = 0
    cases = chosen(range(1, 5), 2, share)
    for kth in cases:
        harness = new_harness()
        harness.launch(lanes=LANES, crash=Crash("checkpoint.after", 7)).wait()
        second = harness.launch(lanes=LANES, crash=Crash(point, kth))
        second.wait()
        struck += bool(harness.server.of("struck", pid=second.pid))
        harness.heal(*LANES)
    assert struck, "the second kill did not happen"


@SOME_AND_ALL
def test_b81_a_wait_and_its_deadline_are_never_separated(new_harness: Callable[[], Harness], share: str) -> None:
    """The signal comes at about the deadline, and the process dies around it: one of both is recorded, and the run ends."""
    lanes = ((start("either", "race", 0.08),), (start("sequence", "beside", 8),))
    answers = set()
    for kth in chosen(range(1, 13), 6, share):
        harness = new_harness()
        harness.launch(lanes=(*lanes, (start("either", "race", 0.08), signal("race", 1))), crash=Crash("checkpoint.after", kth)).wait()
        harness.heal(*lanes)
        answers.add(harness.store.history("race")[-1].value.split()[0])
    assert answers <= {"signal", "deadline"}
