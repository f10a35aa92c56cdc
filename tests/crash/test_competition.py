"""Several workers and clients on one store: what is there is done once, by one of them."""

from tests.crash.harness import Harness, signal, start
from tests.crash.options import Fault


def test_b6_two_workers_claim_from_one_file_and_no_run_twice(harness: Harness) -> None:
    workers = [harness.worker(settings={"claim_page": 20}) for _ in range(2)]
    harness.act(*[tuple(start("sequence", f"run-{lane}-{number}", 1) for number in range(50)) for lane in range(8)])
    harness.wait_for_end()
    harness.check()
    assert sum(harness.begun().values()) == 400
    assert set(harness.begun().values()) == {1}
    assert {begin.pid for begin in harness.server.of("begin")} <= {worker.pid for worker in workers}


def test_b2_two_sweepers_find_the_same_dead_worker_and_each_run_goes_to_one(harness: Harness) -> None:
    dead = harness.worker()
    harness.act(*[tuple(start("waits", f"run-{lane}-{number}", "gate") for number in range(15)) for lane in range(4)])
    harness.wait(lambda: len(harness.server.of("begin", step="gated")) == 60, "all are under way")
    dead.kill()
    heirs = [harness.launch(settings={"claim_page": 7}) for _ in range(2)]
    harness.wait(lambda: len(harness.server.of("begin", step="gated")) == 120, "all have begun again")
    harness.open_gate("gate")
    harness.wait_for_end()
    harness.check()
    again = [begin for begin in harness.server.of("begin", step="gated") if begin.pid != dead.pid]
    assert len({begin["run"] for begin in again}) == len(again) == 60
    assert all(heir.lives for heir in heirs)


def test_g10_after_a_kill_the_heirs_token_is_greater_although_its_clock_was_set_back(harness: Harness) -> None:
    dead = harness.worker()
    harness.act((start("waits", "order-1", "gate"),))
    harness.wait_for_begin("gated")
    dead.kill()
    heir = harness.launch(clock_moved=-3600.0)
    harness.wait(lambda: len(harness.server.of("begin", step="gated")) == 2, "it has begun again")
    before, after = harness.server.of("begin", step="gated")
    harness.open_gate("gate")
    harness.wait_for_end()  # not checked: by the clock that was set back all of this is long ago
    assert (before.pid, after.pid) == (dead.pid, heir.pid)
    assert before["token"] < after["token"]


def test_b11_signals_arrive_while_the_store_fails_inside_receive(harness: Harness) -> None:
    worker = harness.worker(fault=Fault("write", 12, "ENOSPC", 30, file="wal", from_ready=True))
    runs = [f"run-{number}" for number in range(3)]
    harness.act(*[(start("listens", run, 4), *(signal(run, number) for number in (1, 2, 3, 4))) for run in runs])
    harness.wait_for_end()
    harness.check()
    assert len(harness.server.of("struck")) > 2
    for run in runs:
        assert harness.store.history(run)[-1].value == [{"n": number} for number in (1, 2, 3, 4)]
    assert worker.lives


def test_b12_a_receive_that_timed_out_leaves_nothing_in_memory(harness: Harness) -> None:
    worker = harness.worker(counts=True)
    harness.act(*[(start("everything", f"run-{number}", 1), signal(f"run-{number}", 1)) for number in range(60)])
    harness.wait_for_end()
    harness.check()
    worker.terminate()
    assert worker.wait() == 0
    assert harness.server.of("left")[0]["objects"] == {}
