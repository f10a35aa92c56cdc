"""Code that ends its process every time it runs: it is quarantined in the end, and the runs beside it come to theirs."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from perdure.store.protocol import STRIKES_MOST
from tests.crash.harness import Harness, signal, start
from tests.crash.processes import Process

NEIGHBOURS = 20
MEMORY_BYTES = 300 << 20
DEATHS_MOST = 2 * STRIKES_MOST


@contextmanager
def unlimited(_process: Process) -> Iterator[None]:
    yield


@contextmanager
def limited_memory(process: Process) -> Iterator[None]:
    """By the control groups of the kernel where this user may make one; else the step ends its process as the kernel would."""
    root = Path("/sys/fs/cgroup/memory")
    if not (root.is_dir() and os.access(root, os.W_OK)):
        yield
        return
    group = root / f"perdure-{process.pid}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(MEMORY_BYTES))
        (group / "cgroup.procs").write_text(str(process.pid))
        yield
    finally:
        process.kill()
        group.rmdir()


@pytest.mark.parametrize(
    ("how", "where", "within"),
    [
        pytest.param("segfault", "step", unlimited, id="a segmentation fault in a step"),
        pytest.param("segfault", "thread", unlimited, id="a segmentation fault in the thread of a step"),
        pytest.param("segfault", "workflow", unlimited, id="a segmentation fault in workflow code"),
        pytest.param("take_memory", "thread", limited_memory, id="more memory than there is"),
    ],
)
def test_f08_f09_b26_code_that_ends_its_process_every_time_is_quarantined_and_no_neighbour_is(
    harness: Harness, how: str, where: str, within: Callable[[Process], AbstractContextManager[None]]
) -> None:
    first = harness.worker(workflows=())
    harness.act(
        (start("kills", "poison", how, where),),
        *((start("sequence", f"beside-{number}", 3),) for number in range(NEIGHBOURS)),
        (start("listens", "waiting", 1),),
    )
    first.terminate()
    assert first.wait() == 0

    deaths = 0
    while harness.store.state("poison") != "quarantined":
        worker = harness.launch()
        with within(worker):
            harness.wait(lambda worker=worker: not worker.lives or harness.store.state("poison") == "quarantined", "it dies, or knows why")
            deaths += not worker.lives
        worker.kill()
        assert deaths <= DEATHS_MOST, harness.said()

    assert deaths >= STRIKES_MOST
    harness.worker(lanes=((signal("waiting", 1),),), stays=True)
    harness.wait(lambda: harness.store.unfinished() == 1, "everything but the poison has ended")
    states = {run.id: run.state for run in harness.store.runs()}
    assert states.pop("poison") == "quarantined"
    assert set(states.values()) == {"completed"}
    assert harness.store.rows("select count(*) from troubles where run_id = 'poison' and kind = 'quarantined'") == [(1,)]
    harness.check()
