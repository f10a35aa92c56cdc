"""F03, F09, F25, F41, F46: workers on different hosts: cut off, stopped, out of memory, with wrong clocks, deaf to notifications."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import harness_on
from tests.cluster.namespaces import WAYS, Wire, may_make_hosts, wire_to
from tests.cluster.servers import PostgresServer
from tests.crash.harness import Harness, result, signal, start
from tests.crash.options import SHORT_LEASE
from tests.crash.processes import Process, Zygote
from tests.crash.test_pauses import fenced, takes_part_again
from tests.crash.test_poison import limited_memory
from tests.crash.test_poison import test_f08_f09_b26_code_that_ends_its_process_every_time_is_quarantined_and_no_neighbour_is as poison
from tests.proxy import ProxyThread

LEASE_AND_SWEEP_SECONDS = 10.0 + 2.0
DEFAULTS = {"lease_seconds": 10.0, "renew_seconds": 3.0, "sweep_seconds": 2.0, "poll_seconds": 1.0}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(listen_addresses="*" if may_make_hosts() else "127.0.0.1") as server:
        yield server


@pytest.fixture
def harness(server: PostgresServer, zygote: Zygote, tmp_path: Path) -> Iterator[Harness]:
    with harness_on(server, zygote, tmp_path) as harness:
        harness.settings |= SHORT_LEASE
        yield harness


@pytest.fixture
def wire(server: PostgresServer) -> Iterator[Wire]:
    with wire_to(server.port) as wire:
        yield wire


def elsewhere(harness: Harness, name: str, **more: object) -> dict[str, object]:
    """Options of a worker on a host of this name: it sees no file of the others."""
    folder = harness.folder / name
    folder.mkdir()
    return {"elsewhere": str(folder), **more}


def worker_at(harness: Harness, server: PostgresServer, wire: Wire, name: str, **more: object) -> Process:
    """Behind the wire."""
    address = harness.path.replace(f"@{server.host}:{server.port}/", f"@{wire.address}:{wire.port}/")
    return harness.worker(wire.prefix, store=address, **elsewhere(harness, name, **more))


@pytest.mark.parametrize("way", WAYS)
def test_f41_cut_off_beyond_its_lease_it_loses_its_runs_commits_nothing_and_takes_part_again(
    harness: Harness, server: PostgresServer, wire: Wire, way: str
) -> None:
    first = worker_at(harness, server, wire, "far")
    harness.act(*[(start("waits", f"held-{number}", "gate"),) for number in range(3)], (start("listens", "parked", 1),))
    harness.wait(lambda: len(harness.server.of("begin", step="gated", pid=first.pid)) == 3, "it owns unfinished runs")
    wire.cut(way)
    second = harness.worker(**elsewhere(harness, "near"))
    harness.wait(lambda: len(harness.server.of("begin", step="gated", pid=second.pid)) == 3, "the other worker takes them over")
    harness.open_gate("gate")
    harness.act((signal("parked", 1),))
    harness.wait_for_end()
    before = harness.check()

    wire.mend(way)
    harness.wait(lambda: fenced(harness, first), "the worker that was cut off learns that its lease is gone")
    takes_part_again(harness, first, second)
    after = harness.check()

    assert [after.histories[run] for run in before.histories] == list(before.histories.values())


def test_f03_f41_by_default_runs_are_taken_over_within_lease_and_sweep_however_their_worker_is_lost(
    harness: Harness, server: PostgresServer, wire: Wire
) -> None:
    """One is killed, one cut off, at once; each on a host of its own, into which nobody else can look."""
    killed = harness.worker(settings=DEFAULTS, workflows=("waits",), **elsewhere(harness, "killed"))
    cut_off = worker_at(harness, server, wire, "cut off", settings=DEFAULTS, workflows=("sync_waits",))
    harness.act(*[(start(workflow, f"{workflow}-{number}", "gate"),) for workflow in ("waits", "sync_waits") for number in range(5)])
    harness.wait(lambda: [harness.store.owned_by(one.pid) for one in (killed, cut_off)] == [5, 5], "each owns unfinished runs")
    harness.wait(lambda: len(begun_by(harness, killed)) == len(begun_by(harness, cut_off)) == 5, "their steps are under way")
    heir = harness.worker(settings=DEFAULTS, **elsewhere(harness, "heir"))
    killed.kill()
    wire.cut("both ways")
    at = time.monotonic()
    harness.wait(lambda: len(begun_by(harness, heir)) == 10, "all are taken over", 60)
    seconds = time.monotonic() - at
    harness.open_gate("gate")
    harness.wait_for_end()
    wire.mend("both ways")
    harness.wait(lambda: fenced(harness, cut_off), "it learns that its lease is gone", 60)
    harness.check()
    print(f"10 runs of two lost workers were taken over after {seconds:.1f} s")
    assert seconds < LEASE_AND_SWEEP_SECONDS + 5, "and what a busy machine adds"


def begun_by(harness: Harness, process: Process) -> set[str]:
    steps = ("gated", "sync_gated")
    return {begin["run"] for step in steps for begin in harness.server.of("begin", step=step, pid=process.pid)}


@pytest.mark.parametrize("hours", [1, -1])
def test_f46_a_worker_whose_clock_is_wrong_loses_no_lease_and_wakes_nobody_early(harness: Harness, hours: int) -> None:
    wrong = harness.worker(clock_moved=hours * 3600.0, **elsewhere(harness, "wrong"))
    right = harness.worker(**elsewhere(harness, "right"))
    lanes = [(start("everything", f"all-{number}", 1), signal(f"all-{number}", 1), result(f"all-{number}")) for number in range(10)]
    harness.act(*lanes, *[(start("either", f"either-{number}", 0.3),) for number in range(10)])
    harness.wait_for_end()
    harness.check()
    assert not fenced(harness, wrong)
    assert not fenced(harness, right)
    assert {begin.pid for begin in harness.server.of("begin")} <= {wrong.pid, right.pid}


def test_f25_notifications_that_never_come_cost_time_and_nothing_else(harness: Harness, server: PostgresServer) -> None:
    """The connection that listens is half-open: nothing says that nobody speaks."""
    with ProxyThread(server.host, server.port) as proxy:
        proxy.tell(lambda it: vars(it).update(deafens=True))
        address = harness.path.replace(f":{server.port}/", f":{proxy.port}/")
        harness.worker(store=address, settings=DEFAULTS, **elsewhere(harness, "deaf"))
        harness.act((start("listens", "parked", 3),))
        harness.wait(lambda: harness.store.state("parked") == "waiting", "it is parked")
        for number in range(3):
            at = time.monotonic()
            harness.act((signal("parked", number + 1),))
            harness.wait(lambda number=number: len(harness.store.history("parked")) > number + 1, "it is taken")
            print(f"a signal that nobody told of was taken after {time.monotonic() - at:.1f} s")
        harness.wait_for_end()
        assert proxy.proxy.deafened
    harness.check()


def test_f09_a_worker_that_the_kernel_ends_for_its_memory_loses_its_runs_to_others_and_poison_is_set_aside(harness: Harness) -> None:
    poison(harness, "take_memory", "thread", limited_memory)
