"""Workers that are told to stop, and steps that try to take their worker along."""

import pytest

from tests.crash.harness import Harness, start
from tests.crash.options import Crash

PROGRAM: list[str] = []
"""No prefix: a Python of its own, whose whole end is looked at."""


@pytest.mark.parametrize(("workflow", "step"), [("waits", "gated"), ("sync_waits", "sync_gated")])
def test_f05_told_to_stop_it_lets_steps_under_way_end_and_records_them(harness: Harness, workflow: str, step: str) -> None:
    worker = harness.worker(PROGRAM)
    harness.act((start(workflow, "held", "gate"),))
    harness.wait_for_begin(step)
    worker.terminate()
    harness.open_gate("gate")
    assert worker.wait() == 0, harness.said()
    assert harness.store.owned_by(worker.pid) == 0
    harness.heal()
    assert set(harness.begun().values()) == {1}


@pytest.mark.parametrize(("workflow", "step"), [("waits", "gated"), ("sync_waits", "sync_gated")])
def test_f05_told_twice_it_gives_steps_up_and_hands_their_runs_over(harness: Harness, workflow: str, step: str) -> None:
    worker = harness.worker(PROGRAM, settings={"drain_seconds": 600.0})
    harness.act((start(workflow, "held", "gate"), start("sequence", "done", 2)))
    harness.wait_for_begin(step)
    harness.wait(lambda: harness.store.state("done") == "completed", "the other run ends")
    worker.terminate()
    harness.wait(lambda: "stopping" in worker.log.read_text(), "it has understood")
    worker.terminate()
    assert worker.wait() == 0, harness.said()
    assert harness.store.state("held") == "waiting"
    harness.open_gate("gate")
    harness.heal()
    begins = harness.server.of("begin", step=step)
    assert [begin["attempt"] for begin in begins] == [1, 1], "given up is not failed"


def test_f06_b3_a_new_worker_takes_nothing_from_one_that_drains(harness: Harness) -> None:
    old = harness.worker()
    harness.act(*[(start("waits", f"held-{number}", "gate"),) for number in range(5)])
    harness.wait(lambda: len(harness.server.of("begin", step="gated")) == 5, "all are under way")
    old.terminate()
    harness.wait(lambda: "stopping" in old.log.read_text(), "it has understood")
    new = harness.worker(tells=("sweep.done",))
    harness.wait(lambda: len(harness.server.of("point", pid=new.pid)) > 4, "the new one has swept several times")
    assert harness.store.owned_by(new.pid) == 0
    harness.open_gate("gate")
    assert old.wait() == 0
    harness.wait_for_end()
    harness.check()
    assert set(harness.begun().values()) == {1}
    assert {begin.pid for begin in harness.server.of("begin", step="gated")} == {old.pid}


def test_b20_it_stops_in_time_with_runs_in_every_state(harness: Harness) -> None:
    worker = harness.worker(PROGRAM, settings={"drain_seconds": 1.0})
    harness.act(
        (start("waits", "in-step", "never"),),
        (start("sync_waits", "in-thread", "never"),),
        (start("hangs_at_exit", "hanging"),),
        (start("backs_off", "backing-off"),),
        (start("sleeps", "sleeping", 3600.0),),
        (start("sleeps", "sleeping-little", 1.5),),
        (start("listens", "listening", 1),),
        (start("sequence", "ended", 1),),
    )
    harness.wait(lambda: len(harness.server.of("begin")) == 7, "every step is under way")
    harness.wait(lambda: len([run for run in harness.store.runs() if run.state == "waiting"]) >= 3, "those that wait are parked")
    worker.terminate()
    assert worker.wait() == 0, harness.said()
    assert not [run for run in harness.store.runs() if run.owner is not None]
    harness.check()


@pytest.mark.parametrize("point", ["lease.registered", "run.claimed", "attempt.begin", "sweep.done"])
def test_b79_told_to_stop_while_it_starts_it_stops_and_keeps_no_run_from_others(harness: Harness, point: str) -> None:
    first = harness.worker(workflows=())
    first.terminate()
    assert first.wait() == 0
    harness.act((start("sequence", "line", 2),), (start("listens", "waiting", 0),))
    starting = harness.launch(PROGRAM, crash=Crash(point, do="stop"))
    harness.wait(starting.is_paused, "it has come so far")
    starting.terminate()
    starting.resume()
    assert starting.wait() == 0, harness.said()
    assert not [run for run in harness.store.runs() if run.owner is not None]
    assert not [worker for worker in harness.store.workers() if worker.state == "live"]
    harness.heal()


def test_f12_a_thread_that_hangs_does_not_keep_the_process_from_ending(harness: Harness) -> None:
    worker = harness.worker(PROGRAM, settings={"drain_seconds": 0.5})
    harness.act((start("hangs_at_exit", "hanging"), start("hangs_at_exit", "hanging-too")))
    harness.wait(lambda: len(harness.server.of("begin")) == 2, "both hang")
    worker.terminate()
    assert worker.wait() == 0, harness.said()
    assert harness.store.state("hanging") == "waiting"


def test_f12_steps_that_hang_are_given_up_after_their_timeout_and_tried_again(harness: Harness) -> None:
    harness.worker(settings={"threads": 4})
    harness.act((start("hanging", "hung", 2),), *[(start("everything", f"beside-{number}", 0),) for number in range(5)])
    harness.wait_for_end()
    assert {run.state for run in harness.store.runs()} == {"completed"}
    for step in ("hangs", "sync_hangs"):
        assert [begin["attempt"] for begin in harness.server.of("begin", step=step)] == [1, 2, 3]


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "thread"])
@pytest.mark.parametrize("how", ["sys.exit", "KeyboardInterrupt", "GeneratorExit", "CancelledError", "BaseException", "StopIteration"])
def test_f10_f11_a_step_that_tries_to_leave_fails_and_its_worker_goes_on(harness: Harness, how: str, is_async: bool) -> None:
    worker = harness.worker()
    harness.act((start("leaves_by", "leaver", how, is_async), start("sequence", "beside", 2)))
    harness.wait_for_end()
    assert worker.lives
    harness.check()
    assert harness.store.state("beside") == "completed"
    assert harness.store.state("leaver") in {"completed", "failed"}
    worker.terminate()
    assert worker.wait() == 0, harness.said()


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "thread"])
def test_f10_a_step_that_ends_the_process_is_begun_again_by_the_next(harness: Harness, is_async: bool) -> None:
    worker = harness.worker()
    harness.act((start("leaves_by", "leaver", "os._exit", is_async),))
    assert worker.wait() == 3
    harness.heal()
    assert sum(harness.begun().values()) == 2


@pytest.mark.parametrize("how", ["sys.exit", "KeyboardInterrupt", "GeneratorExit"])
def test_f10_a_workflow_that_tries_to_leave_fails_and_its_worker_goes_on(harness: Harness, how: str) -> None:
    worker = harness.worker()
    harness.act((start("leaves_in_workflow", "leaver", how), start("sequence", "beside", 2)))
    harness.wait_for_end()
    assert worker.lives
    assert harness.store.state("leaver") == "failed"
    assert harness.store.state("beside") == "completed"
    harness.check()


def test_f07_a_child_that_outlives_its_worker_does_not_keep_it_alive(harness: Harness) -> None:
    """The lease is an hour; what frees the runs is the lock, which no child inherits."""
    long = {"lease_seconds": 3600.0}
    worker = harness.worker(settings=long)
    harness.act((start("forks", "forker", "child-may-go"),))
    harness.wait(lambda: harness.server.of("forked"), "the child lives")
    worker.kill()
    harness.open_gate("after-fork")
    harness.heal(settings=long)
    assert harness.store.state("forker") == "completed"
    harness.open_gate("child-may-go")


def test_f07_after_a_fork_the_child_is_told_to_open_its_own_and_the_parent_is_unharmed(harness: Harness) -> None:
    worker = harness.worker()
    harness.act((start("misuses", "misuse"), start("everything", "beside", 0)))
    harness.wait_for_end()
    said = harness.server.of("in child")
    assert [one["error"] for one in said] == ["StoreError"] * 3, said
    assert all("fork" in one["said"] for one in said)
    harness.act((start("sequence", "afterwards", 3),))
    harness.wait_for_end()
    evidence = harness.check()
    assert "from-child" not in evidence.runs
    assert worker.lives


def test_f07_processes_forked_after_the_import_share_nothing(harness: Harness) -> None:
    workers = [harness.worker() for _ in range(3)]
    assert len({ready["incarnation"] for ready in harness.server.of("ready")}) == 3
    harness.act(*[(start("sequence", f"run-{number}", 2),) for number in range(9)])
    harness.wait_for_end()
    seeds = harness.store.rows("select count(distinct seed) from runs")
    assert seeds[0][0] == 9
    assert all(worker.lives for worker in workers)
    harness.check()
