"""Workers that stand still: past their lease they commit nothing and begin nothing afterwards; within it nothing is run again."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crash.harness import Harness, signal, start
from tests.crash.options import SHORT_LEASE, Crash, Fault
from tests.crash.processes import Process


@pytest.fixture(autouse=True)
def _leases_are_short(harness: Harness) -> None:
    harness.settings |= SHORT_LEASE


def fenced(harness: Harness, process: Process) -> bool:
    return bool(harness.server.of("point", point="fence.lost", pid=process.pid))


def declared_dead(harness: Harness, process: Process) -> bool:
    line = harness.store.worker(process.pid)
    return line is None or line.state == "dead"


def takes_part_again(harness: Harness, process: Process, other: Process) -> None:
    """What was stopped works on when nobody else is left."""
    other.kill()
    harness.act((start("sequence", "afterwards", 2),))
    harness.wait_for_end()
    assert {begin.pid for begin in harness.server.of("begin", run="afterwards")} == {process.pid}


@pytest.mark.parametrize("workflow", ["waits", "sync_waits"])
def test_f03_b15_stopped_in_a_step_past_its_lease_it_commits_nothing_afterwards(harness: Harness, workflow: str) -> None:
    first = harness.worker()
    harness.act((start(workflow, "held", "gate"), start("listens", "parked", 1)))
    step = "gated" if workflow == "waits" else "sync_gated"
    harness.wait_for_begin(step)
    harness.pause_between_commits(first)
    second = harness.worker()
    harness.wait_for_begin(step, pid=second.pid)
    harness.open_gate("gate")
    harness.act((signal("parked", 1),))
    harness.wait_for_end()
    before = harness.check()

    first.resume()
    harness.wait(lambda: fenced(harness, first), "the stopped worker learns that its lease is gone")
    takes_part_again(harness, first, second)
    after = harness.check()

    assert after.histories["held"] == before.histories["held"]
    assert after.runs["held"] == before.runs["held"]


def test_f03_stopped_while_a_step_waits_for_its_next_try_it_does_not_begin_it(harness: Harness) -> None:
    """G10: it starts no new step, also when the thread that renews the lease is not the first to wake."""
    first = harness.worker(settings={"renew_seconds": 60.0})
    harness.act(*[(start("tries_again", f"again-{number}"),) for number in range(5)])
    harness.wait(lambda: len(harness.store.attempts()) == 5, "the failures are on disk")
    harness.pause_between_commits(first)
    second = harness.worker()
    harness.wait_for_end()
    first.resume()
    harness.wait(lambda: fenced(harness, first), "the stopped worker learns that its lease is gone")
    takes_part_again(harness, first, second)
    harness.check()
    later = harness.server.of("begin", step="fails_once", attempt=2)
    assert {begin.pid for begin in later} == {second.pid}


@pytest.mark.parametrize("kth", [1, 3, 6])
def test_f03_stopped_before_a_commit_it_loses_the_fence_and_begins_anew(harness: Harness, kth: int) -> None:
    first = harness.launch(lanes=((start("sequence", "line", 5),),), stays=True, crash=Crash("checkpoint.before", kth, "stop"))
    harness.wait(first.is_paused, "the worker stops before its commit")
    second = harness.worker()
    harness.act((start("sequence", "line", 5),))
    harness.wait_for_end()
    harness.wait(lambda: declared_dead(harness, first), "its lease is over")
    first.resume()
    harness.wait(lambda: fenced(harness, first), "the stopped worker learns that its lease is gone")
    takes_part_again(harness, first, second)
    evidence = harness.check()
    assert {run.state for run in evidence.runs.values()} == {"completed"}


def test_f03_declared_dead_it_commits_nothing_even_while_its_runs_are_still_its_own(harness: Harness) -> None:
    """Only the fence stands between: whoever declared it dead does not know these workflows and takes nothing."""
    first = harness.launch(lanes=((start("sequence", "line", 5),),), stays=True, crash=Crash("checkpoint.before", 4, "stop"))
    harness.wait(first.is_paused, "the worker stops before its commit")
    harness.worker(workflows=("listens",))
    harness.wait(lambda: declared_dead(harness, first), "its lease is over")
    records = harness.store.records("line")
    assert harness.store.rows("select owner from runs where id = 'line'") == harness.store.rows(
        "select incarnation from workers where state = 'dead'"
    )
    first.resume()
    harness.wait(lambda: fenced(harness, first), "it learns that its lease is gone")
    harness.wait_for_end()
    evidence = harness.check()
    tokens = [end["token"] for end in harness.server.of("end")]
    assert records >= 1
    assert len(set(tokens)) >= 2, "it goes on in a new life"
    assert evidence.runs["line"].state == "completed"


def test_f03_f33_declared_dead_while_its_disk_was_full_it_takes_part_again(harness: Harness) -> None:
    """What it had to write is never taken, so nothing tells it that the store is well again but its new life."""
    first = harness.worker(fault=Fault("write", 8, "ENOSPC", 25, file="wal", from_ready=True))
    harness.act((start("sequence", "line", 30),))
    harness.wait(lambda: "does not take checkpoint" in first.log.read_text(), "its disk is full")
    harness.pause_between_commits(first)
    second = harness.worker()
    harness.wait_for_end()
    harness.wait(lambda: declared_dead(harness, first), "its lease is over")
    first.resume()
    harness.wait(lambda: fenced(harness, first), "it learns that its lease is gone")
    takes_part_again(harness, first, second)
    evidence = harness.check()
    assert {run.state for run in evidence.runs.values()} == {"completed"}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_f03_stopped_inside_a_commit_it_holds_the_lock_and_nobody_takes_over(harness: Harness, after: bool) -> None:
    """Whoever stands still in the middle of COMMIT keeps everybody from writing; afterwards nothing that it recorded is run again."""
    fault = Fault("sync", 9, "stop", file="wal", after=after)
    first = harness.launch(lanes=((start("sequence", "line", 5),),), stays=True, fault=fault)
    harness.wait(first.is_paused, "the worker stops in its commit")
    second = harness.launch()
    expires = harness.store.worker(first.pid)
    assert expires is not None
    harness.wait(lambda: harness.boot_time() > expires.expires_at + 500_000, "its lease is over")
    assert not declared_dead(harness, first)
    assert {begin.pid for begin in harness.server.of("begin")} <= {first.pid}
    first.resume()
    harness.wait_for_end()
    harness.check()
    assert second.lives


def test_f03_stopped_for_less_than_its_lease_nothing_is_run_again(harness: Harness) -> None:
    first = harness.worker(settings={"lease_seconds": 60.0})
    second = harness.worker(settings={"lease_seconds": 60.0})
    harness.act((start("waits", "held", "gate"),))
    owner = harness.wait_for_begin("gated")
    stopped, other = (first, second) if owner == first.pid else (second, first)
    harness.pause_between_commits(stopped)
    harness.open_gate("gate")
    harness.act((start("sequence", "meanwhile", 3),))
    harness.wait(lambda: harness.store.state("meanwhile") == "completed", "the other worker goes on")
    stopped.resume()
    harness.wait_for_end()
    harness.check()
    assert set(harness.begun().values()) == {1}
    assert not fenced(harness, stopped)
    assert other.lives


@contextmanager
def frozen(harness: Harness, process: Process) -> Iterator[None]:
    """By the control groups of the kernel where this user may make one, else by SIGSTOP."""
    root = Path("/sys/fs/cgroup/freezer")
    if not (root.is_dir() and os.access(root, os.W_OK)):
        harness.pause_between_commits(process)
        yield
        process.resume()
        return
    group = root / f"perdure-{process.pid}"
    group.mkdir()
    try:
        (group / "cgroup.procs").write_text(str(process.pid))
        while not stands_still_between_commits(harness, group):
            (group / "freezer.state").write_text("THAWED")
        yield
    finally:
        (group / "freezer.state").write_text("THAWED")
        (root / "cgroup.procs").write_text(str(process.pid))
        group.rmdir()


def stands_still_between_commits(harness: Harness, group: Path) -> bool:
    (group / "freezer.state").write_text("FROZEN")
    harness.wait(lambda: (group / "freezer.state").read_text() == "FROZEN\n", "all its threads stand still")
    return harness.store.is_writable()


def test_f04_frozen_with_all_its_threads_it_commits_nothing_afterwards(harness: Harness) -> None:
    first = harness.worker()
    harness.act((start("waits", "held", "gate"), start("tries_again", "again")))
    harness.wait_for_begin("gated")
    with frozen(harness, first):
        second = harness.worker()
        harness.wait_for_begin("gated", pid=second.pid)
        harness.open_gate("gate")
        harness.wait_for_end()
        before = harness.check()
    harness.wait(lambda: fenced(harness, first), "the frozen worker learns that its lease is gone")
    takes_part_again(harness, first, second)
    after = harness.check()
    assert after.histories["held"] == before.histories["held"]
