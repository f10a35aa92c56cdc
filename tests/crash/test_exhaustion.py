"""Threads, file descriptors, processor time and the event loop run out; deploys come one after the other."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tests.crash.harness import Harness, signal, start
from tests.crash.processes import Process


def test_f13_a_blocked_event_loop_is_no_reason_to_take_over(harness: Harness) -> None:
    """Two leases long; the thread that renews goes on."""
    lease = {"lease_seconds": 3.0, "renew_seconds": 0.5}
    first, second = harness.worker(settings=lease), harness.worker(settings=lease)
    harness.act((start("blocks", "blocking", 6.0),), (start("waits", "held", "gate"),))
    owner = harness.wait_for_begin("blocks_loop")
    harness.open_gate("gate")
    harness.wait_for_end()
    harness.check()
    assert set(harness.begun().values()) == {1}
    assert harness.server.of("end", step="blocks_loop")[0].pid == owner
    assert not harness.server.of("point", point="fence.lost")
    assert first.lives
    assert second.lives


@contextmanager
def throttled(process: Process) -> Iterator[None]:
    """About a tenth of a processor: stopped and continued many times a second."""
    is_over = threading.Event()

    def throttle() -> None:
        while not is_over.wait(0.01):
            process.pause()
            is_over.wait(0.1)
            process.resume()

    thread = threading.Thread(target=throttle)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        process.resume()


def test_f14_a_worker_with_little_processor_time_keeps_its_runs(harness: Harness) -> None:
    lease = {"lease_seconds": 3.0, "renew_seconds": 0.3}
    slow = harness.worker(workflows=("sequence", "waits"), settings=lease)
    watching = harness.worker(workflows=("listens",), settings=lease)
    with throttled(slow):
        began = harness.boot_time()
        harness.act(*[(start("waits", f"held-{number}", "gate"), start("sequence", f"run-{number}", 5)) for number in range(5)])
        harness.wait(lambda: harness.boot_time() > began + 6_000_000, "two leases have passed")
        harness.open_gate("gate")
        harness.wait_for_end(60)
    harness.check()
    assert not harness.server.of("point", point="fence.lost")
    assert set(harness.begun().values()) == {1}
    assert watching.lives


def test_f15_two_thousand_steps_wait_for_four_threads(harness: Harness) -> None:
    harness.worker(settings={"threads": 4})
    harness.act(*[(start("many_sync", f"run-{number}", 50),) for number in range(40)], (start("sequence", "beside", 3),))
    harness.wait_for_end(60)
    harness.check()
    assert sum(harness.begun().values()) == 2003
    assert set(harness.begun().values()) == {1}


def test_f16_without_file_descriptors_nothing_is_lost_and_it_recovers(harness: Harness) -> None:
    worker = harness.worker(files_most=64)
    harness.act((start("exhausts", "hog", "release"),))
    harness.wait(lambda: harness.server.of("files taken"), "no descriptor is left")
    harness.act(*[(start("everything", f"beside-{number}", 1), signal(f"beside-{number}", 1)) for number in range(5)])
    harness.wait(lambda: len([run for run in harness.store.runs() if run.is_final]) == 5, "the others end all the same")
    harness.open_gate("release")
    harness.wait_for_end()
    harness.check()
    assert worker.lives
    worker.terminate()
    assert worker.wait() == 0, harness.said()


def test_f17_b8_collecting_garbage_all_the_time_destroys_no_task(harness: Harness) -> None:
    worker = harness.worker(collects_garbage=True)
    lanes = [(start("everything", f"run-{number}", 2), signal(f"run-{number}", 1), signal(f"run-{number}", 2)) for number in range(20)]
    harness.act(*lanes)
    harness.wait_for_end(60)
    harness.check()
    assert {run.state for run in harness.store.runs()} == {"completed"}
    assert "destroyed" not in worker.log.read_text()


def test_f18_b53_ten_deploys_with_three_hundred_runs_in_flight(harness: Harness) -> None:
    """Each worker is told to stop, or killed, as soon as it has got on a little; nothing is stuck, nothing quarantined, nothing re-run."""
    lanes = [(start("sequence", f"run-{number}", 30),) for number in range(300)]
    client = harness.client(*lanes)
    loads = Counter[int]()
    for deploy in range(10):
        worker = harness.worker(tells=("run.loaded",), settings={"replays_at_once": 20})
        harness.wait(lambda pid=worker.pid: len(harness.server.of("end", pid=pid)) > 30, "the new worker gets on")
        if deploy % 2:
            worker.kill()
        else:
            worker.terminate()
            assert worker.wait() == 0, harness.said()
        loads[deploy] = len(harness.server.of("point", pid=worker.pid))
        assert not harness.store.rows("select id from runs where state = 'quarantined'")
    assert client.wait() == 0
    assert harness.store.unfinished(), "there was not enough to do"
    harness.heal(seconds=60)
    assert max(loads.values()) <= 300, "a worker read a history more than once"
