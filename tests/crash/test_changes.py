"""SIGKILL while a saga undoes what it did, and where one generation ends and the next begins."""

from collections.abc import Callable

import pytest

from tests.crash.harness import Harness, result, signal, start
from tests.crash.options import Crash
from tests.crash.sampling import SOME_AND_ALL, chosen

STEPS = 3
LANES = (
    (start("trip", "away", STEPS), result("away")),
    (start("chapters", "book", 1, []), signal("book", 1), signal("book", 2), result("book")),
)
POINTS = ["checkpoint.before", "checkpoint.after", "attempt.begin", "attempt.end", "run.claimed", "run.let_go"]


@pytest.fixture
def passings(new_harness: Callable[[], Harness]) -> dict[str, int]:
    """How often each point is passed when nothing goes wrong."""
    harness = new_harness()
    assert harness.worker(lanes=LANES, counts=True).wait() == 0, harness.said()
    check(harness)
    counted: dict[str, int] = harness.server.of("counted")[0]["points"]
    return counted


def check(harness: Harness) -> None:
    harness.check()
    trip, book = harness.store.history("away"), harness.store.history("book")
    done = [line.command for line in trip if line.kind == "step"]
    assert done == list(range(STEPS))
    undone = [(line.command, line.name) for line in trip if line.kind == "compensated"]
    assert undone == [(3, "flaky"), (4, "sync_effect"), (5, "flaky")], "each once, the last done first"
    assert [line.name for line in trip if line.kind == "patched"] == ["refuse"]
    assert trip[-1].value == [line.value for line in trip if line.kind == "step"]

    assert {line.generation for line in book} == {0, 1}
    assert book[-1].value == [line.value for line in book if line.kind == "step"]
    assert [line.key[1:] for line in book if line.kind == "step"] == [(0, 0), (1, 0)]


def test_without_faults_all_is_undone_once_and_a_generation_follows_the_other(passings: dict[str, int]) -> None:
    assert passings["run.let_go"] >= 1


@SOME_AND_ALL
@pytest.mark.parametrize("point", POINTS)
def test_f01_killed_at_a_point_everything_is_undone_once_and_no_generation_is_torn(
    new_harness: Callable[[], Harness], passings: dict[str, int], point: str, share: str
) -> None:
    struck = 0
    cases = chosen(range(1, passings[point] + 1), 5, share)
    for kth in cases:
        harness = new_harness()
        harness.launch(lanes=LANES, crash=Crash(point, kth)).wait()
        struck += bool(harness.server.of("struck"))
        harness.heal(*LANES)
        check(harness)
    assert struck >= len(cases) // 2, "the kills did not happen"
