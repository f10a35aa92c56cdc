"""SIGKILL around a retry, a deletion and the removal of old runs: done whole or not at all, and a repeat does the rest."""

from collections.abc import Callable, Iterator

import pytest

from tests.crash.harness import Harness, order, result, start
from tests.crash.options import Crash, Fault
from tests.crash.sampling import SOME_AND_ALL, chosen

LANES = ((start("repairable", "order"), result("order"), order("retry", "order"), result("order", "again")),)
POINTS = ["run.claimed", "checkpoint.before", "checkpoint.after", "attempt.begin", "attempt.end", "run.loaded", "run.replayed", "run.ended"]
TABLES = ("history", "generations", "outdated", "attempts", "inbox", "requests", "signal_keys", "suspects", "troubles")
NEVER = Fault(kth=10**9)
OLD = 12
Contents = dict[str, list[tuple[object, ...]]]


def operations_of(harness: Harness, verb: str) -> int:
    """How often a client that wants this of a run writes, syncs or deletes, from its first look at the store to the last."""
    client = harness.launch(role="client", lanes=((order(verb, "order"),),), fault=NEVER, counts=True)
    assert client.wait() == 0, harness.said()
    return sum(harness.server.of("counted")[0]["disk"].values())


def ended(harness: Harness, workflow: str) -> None:
    """A store in which the run has ended, and no worker."""
    worker = harness.worker(lanes=((start(workflow, "order", *([3] if workflow == "sequence" else [])), result("order")),))
    assert worker.wait() == 0, harness.said()


def check_retried(harness: Harness) -> None:
    """What was recorded before the failure stands, and its steps were not run again."""
    history = harness.store.history("order")
    assert [(line.generation, line.kind) for line in history] == [
        *((0, kind) for kind in ("started", "step", "step_failed", "failed")),
        *((1, kind) for kind in ("step", "step", "completed")),
    ]
    begun = {key[2]: count for key, count in harness.begun().items()}
    assert begun[0] == 1
    assert begun[1] >= 2


def killed(new_harness: Callable[[], Harness], verb: str, workflow: str, share: str) -> Iterator[tuple[Harness, Contents]]:
    """Clients that wanted this of an ended run and were killed at an operation on the disk, with what was there before."""
    counted = new_harness()
    ended(counted, workflow)
    cases = chosen(range(1, operations_of(counted, verb) + 1), 6, share)
    struck = 0
    for kth in cases:
        harness = new_harness()
        ended(harness, workflow)
        whole = contents(harness)
        harness.launch(role="client", lanes=((order(verb, "order"),),), fault=Fault(kth=kth)).wait()
        struck += bool(harness.server.of("struck"))
        yield harness, whole
    assert struck >= len(cases) // 2, "the kills did not happen"


@SOME_AND_ALL
def test_f01_a_retry_that_is_killed_at_an_operation_on_the_disk_has_happened_or_not_and_can_be_repeated(
    new_harness: Callable[[], Harness], share: str
) -> None:
    for harness, _ in killed(new_harness, "retry", "repairable", share):
        run = harness.store.run("order")
        assert run is not None
        assert (run.state, run.generation) in {("failed", 0), ("waiting", 1)}

        harness.act((order("retry", "order"),))
        harness.heal((result("order", "again"),))
        check_retried(harness)


@pytest.fixture
def passings(new_harness: Callable[[], Harness]) -> dict[str, int]:
    """How often each point is passed when nothing goes wrong."""
    harness = new_harness()
    assert harness.worker(lanes=LANES, counts=True).wait() == 0, harness.said()
    harness.check()
    check_retried(harness)
    counted: dict[str, int] = harness.server.of("counted")[0]["points"]
    return counted


@SOME_AND_ALL
@pytest.mark.parametrize("point", POINTS)
def test_f01_killed_at_a_point_while_a_run_fails_and_is_retried_it_completes_and_repeats_nothing_recorded(
    new_harness: Callable[[], Harness], passings: dict[str, int], point: str, share: str
) -> None:
    for kth in chosen(range(1, passings[point] + 1), 4, share):
        harness = new_harness()
        harness.launch(lanes=LANES, crash=Crash(point, kth)).wait()
        harness.heal(*LANES)
        assert harness.store.state("order") == "completed"
        assert {key[2]: count for key, count in harness.begun().items()}.keys() == {0, 1, 2}


@SOME_AND_ALL
def test_f01_f74_a_deletion_that_is_killed_at_an_operation_on_the_disk_leaves_the_run_whole_or_gone(
    new_harness: Callable[[], Harness], share: str
) -> None:
    for harness, whole in killed(new_harness, "delete", "sequence", share):
        assert contents(harness) in (whole, {})

        harness.act((order("delete", "order"),))
        assert contents(harness) == {}
        harness.act((start("listens", "order", 1),))  # its id is free


def contents(harness: Harness) -> Contents:
    """Every row that tells of the run, by table; tables without one are left out."""
    found = {table: harness.store.rows(f"select * from {table} where run_id = 'order'") for table in TABLES}
    found["runs"] = harness.store.rows("select * from runs where id = 'order'")
    return {table: rows for table, rows in found.items() if rows}


@SOME_AND_ALL
def test_f01_g20_killed_while_it_removes_old_runs_each_is_whole_or_gone_and_the_next_worker_removes_the_rest(
    new_harness: Callable[[], Harness], share: str
) -> None:
    forgets = {"keep_completed_days": 0.0, "purge_runs": 2, "purge_seconds": 0.02, "purge_pause_seconds": 0.001}
    halves = 0
    for kth in chosen(range(1, 25), 6, share):
        harness = new_harness()
        lanes = tuple((start("sequence", f"order-{number}", 2), result(f"order-{number}")) for number in range(OLD))
        assert harness.worker(lanes=lanes).wait() == 0, harness.said()

        harness.launch(settings=forgets, fault=Fault("write", kth * 2, file="wal", from_ready=True)).wait()
        left = harness.store.rows("select id, (select count(*) from history where run_id = id) from runs")
        halves += 0 < len(left) < OLD
        assert {records for _, records in left} <= {4}
        assert not [table for table in TABLES if harness.store.rows(f"select 1 from {table} where run_id not in (select id from runs)")]

        last = harness.worker(settings=forgets)
        harness.wait(lambda store=harness.store: not store.runs(), "the rest is removed")
        last.terminate()
        assert last.wait() == 0, harness.said()
    assert halves, "no kill came between two batches"
