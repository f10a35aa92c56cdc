"""F02, F03: workers on one PostgreSQL die or are stopped in the middle of their work; real processes and signals, the default lease."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.test_processes import Fleet

LEASE_AND_SWEEP_SECONDS = 12.0
APP = """
    import os, time
    from pathlib import Path
    from perdure import step, workflow

    @step
    def hold(number: int) -> int:
        Path("touched", f"{number}-{os.getpid()}").touch()
        while not Path("released").exists():
            time.sleep(0.01)
        return os.getpid()

    @workflow
    async def count(number: int) -> int:
        return await hold(number)
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, APP, "postgresql")
    yield fleet
    (tmp_path / "released").touch()
    fleet.end()


def holders(fleet: Fleet) -> set[int]:
    """Process ids in which the step has begun."""
    return {int(path.name.split("-")[1]) for path in (fleet.folder / "touched").iterdir()}


def steps(fleet: Fleet) -> list[str]:
    return [record["kind"] for record in json.loads(fleet.run("run", "history", "r", "-o", "json")) if record["kind"] == "step"]


def begin(fleet: Fleet) -> int:
    """A run whose step holds in one worker, while another waits for work; the process that owns it."""
    fleet.start("app.py")
    fleet.until(lambda: len(fleet.workers()) == 1, "the first worker")
    fleet.run("run", "start", "count", "--id", "r", "--input", '{"number": 1}')
    fleet.until(lambda: holders(fleet), "the step begins")
    fleet.start("app.py")
    fleet.until(lambda: len(fleet.workers()) == 2, "the second worker")
    return holders(fleet).pop()


def test_f02_a_run_whose_worker_was_killed_goes_on_at_once_on_the_same_host(fleet: Fleet) -> None:
    owner = begin(fleet)

    os.kill(owner, signal.SIGKILL)
    died = time.monotonic()
    fleet.until(lambda: holders(fleet) - {owner}, "another worker takes it over")

    assert time.monotonic() - died < LEASE_AND_SWEEP_SECONDS / 2, "its lock told, not its lease"
    (fleet.folder / "released").touch()
    fleet.run("run", "wait", "r", "--timeout", "30")
    assert steps(fleet) == ["step"]


def test_f03_a_worker_that_was_stopped_past_its_lease_loses_its_run_and_commits_nothing_when_it_comes_back(fleet: Fleet) -> None:
    owner = begin(fleet)

    os.kill(owner, signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        fleet.until(lambda: holders(fleet) - {owner}, "another worker takes it over")
        (heir,) = holders(fleet) - {owner}
        taken_over_after = time.monotonic() - stopped
    finally:
        os.kill(owner, signal.SIGCONT)
    (fleet.folder / "released").touch()

    assert fleet.run("run", "wait", "r", "--timeout", "30").strip() == str(heir)
    assert steps(fleet) == ["step"]
    assert taken_over_after < LEASE_AND_SWEEP_SECONDS + 3, "and what a busy machine adds"
