"""SIGKILL around every write and every sync that the store asks of the disk; errors there, a full disk, a slow disk."""

from collections.abc import Callable

import pytest

from tests.crash.harness import Harness, result, signal, start
from tests.crash.options import Fault
from tests.crash.process import STORE_FAILED
from tests.crash.sampling import SOME_AND_ALL, chosen

LANES = (
    (start("sequence", "line", 3), result("line")),
    (start("everything", "all", 1), signal("all", 1), result("all")),
)
MOSTLY_STRUCK = 0.6
"""How many of the enumerated operations at least are really met: their number varies a little with the timing."""


@pytest.fixture
def operations(new_harness: Callable[[], Harness]) -> dict[str, int]:
    """How often the disk is written and synced when nothing goes wrong."""
    harness = new_harness()
    never = Fault(kth=10**9)
    assert harness.worker(lanes=LANES, fault=never, counts=True).wait() == 0
    counted: dict[str, int] = harness.server.of("counted")[0]["disk"]
    return counted


def kill_and_heal(new_harness: Callable[[], Harness], faults: list[Fault]) -> int:
    """How many of the faults really struck. After each, everything is healed and checked."""
    struck = 0
    for fault in faults:
        harness = new_harness()
        harness.launch(lanes=LANES, fault=fault).wait()
        struck += bool(harness.server.of("struck"))
        harness.heal(*LANES)
    return struck


@SOME_AND_ALL
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("file", ["wal", "db"])
@pytest.mark.parametrize("operation", ["write", "sync"])
def test_f01_killed_at_an_operation_on_the_disk(
    new_harness: Callable[[], Harness], operations: dict[str, int], operation: str, file: str, after: bool, share: str
) -> None:
    cases = chosen(range(1, operations[f"{operation}.{file}"] + 1), 5 if file == "wal" else 2, share)
    struck = kill_and_heal(new_harness, [Fault(operation, kth, "kill", file=file, after=after) for kth in cases])
    assert struck >= max(1, MOSTLY_STRUCK * len(cases) - 1)


@SOME_AND_ALL
def test_f01_killed_in_the_middle_of_a_write(new_harness: Callable[[], Harness], operations: dict[str, int], share: str) -> None:
    """Half of what was to be written is there."""
    cases = chosen(range(1, operations["write.wal"] + 1), 6, share)
    struck = kill_and_heal(new_harness, [Fault("write", kth, "tear", file="wal") for kth in cases])
    assert struck >= max(1, MOSTLY_STRUCK * len(cases) - 1)


@SOME_AND_ALL
def test_f34_b96_a_failed_sync_ends_the_process_and_a_new_one_recovers(new_harness: Callable[[], Harness], share: str) -> None:
    """G16: it does not try again, for a second sync that succeeds proves nothing."""
    for kth in chosen(range(1, 13), 5, share):
        harness = new_harness()
        worker = harness.launch(lanes=LANES, fault=Fault("sync", kth, "EIO", file="wal", from_ready=True))
        status = worker.wait()
        struck = harness.server.of("struck")
        assert struck, harness.said()
        assert status == STORE_FAILED, harness.said()
        harness.heal(*LANES)


def test_f34_a_sync_that_fails_at_the_very_end_does_not_hold_the_process_up(harness: Harness) -> None:
    """Everything is in the WAL by then; the copy into the database, made by the last connection that closes, is all that fails."""
    worker = harness.launch(lanes=LANES, fault=Fault("sync", 1, "EIO", 10**9, file="db", from_ready=True))
    worker.wait()
    assert not harness.store.unfinished(), harness.said()
    harness.heal(*LANES)


@SOME_AND_ALL
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_f33_f34_failing_writes_are_outlived_without_a_restart(new_harness: Callable[[], Harness], error: str, share: str) -> None:
    for kth in chosen(range(1, 40), 4, share):
        harness = new_harness()
        worker = harness.launch(lanes=LANES, fault=Fault("write", kth, error, kth + 5, file="wal", from_ready=True))
        assert worker.wait() == 0, harness.said()
        assert harness.server.of("struck")
        assert not harness.store.unfinished()
        harness.check()


def test_f33_nothing_is_acknowledged_while_the_disk_is_full(harness: Harness) -> None:
    lanes = ((start("sequence", "first", 2), result("first"), start("sequence", "second", 2), result("second")),)
    worker = harness.worker(lanes=lanes, fault=Fault("write", 10, "ENOSPC", 20, file="wal", from_ready=True))
    assert worker.wait() == 0, harness.said()
    struck = harness.server.of("struck", thread="perdure-writer")[1:]  # by the second, what was committed before the first is acknowledged
    assert len(struck) >= 3, "the disk was not full for long"
    assert not [ack for ack in harness.server.of("ack") if struck[0].at < ack.at < struck[-1].at]
    harness.check()


def test_f36_a_slow_disk_is_no_reason_to_take_over(harness: Harness) -> None:
    """Each sync takes a third of a lease, and one worker always has something to write; the worker beside only lives."""
    leases = {"lease_seconds": 3.5, "renew_seconds": 0.5}
    beside = harness.worker(workflows=("listens",), settings=leases)
    lanes = ((start("sequence", "line", 4), result("line")),)
    slow = harness.launch(lanes=lanes, settings=leases, fault=Fault("sync", 1, "delay", 10**9, file="wal", seconds=1.0))
    assert slow.wait(60) == 0, harness.said()
    assert not harness.server.of("point", point="fence.lost"), harness.said()
    assert "is dead" not in beside.log.read_text() + slow.log.read_text()
    harness.check()
    assert set(harness.begun().values()) == {1}
