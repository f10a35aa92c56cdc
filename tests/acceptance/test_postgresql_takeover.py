"""F02, F03: workers on one PostgreSQL die or are stopped in the middle of their work; real processes and signals."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.test_processes import Fleet

APP = """
    import asyncio, os, sys, time
    from pathlib import Path
    from perdure import Engine, step, workflow
    from perdure.settings import Settings

    @step
    def hold(number: int) -> int:
        Path("touched", f"{number}-{os.getpid()}").touch()
        while not Path("released").exists():
            time.sleep(0.01)
        return os.getpid()

    @workflow
    async def count(number: int) -> int:
        return await hold(number)

    async def work_with_a_lease_of_an_hour() -> None:
        async with Engine(os.environ["PERDURE_STORE"], [count], settings=Settings(lease_seconds=3600.0)):
            print(f"worker {os.getpid()} runs", file=sys.stderr, flush=True)
            await asyncio.Event().wait()

    if __name__ == "__main__":
        asyncio.run(work_with_a_lease_of_an_hour())
"""
WITH_THE_DEFAULT_LEASE = ("-m", "perdure", "worker", "app.py")
WITH_A_LEASE_OF_AN_HOUR = ("app.py",)


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


def begin(fleet: Fleet, worker: tuple[str, ...]) -> int:
    """A run whose step holds in one worker, while another waits for work; the process that owns it."""
    fleet.launch(*worker)
    fleet.until(lambda: len(fleet.workers()) == 1, "the first worker")
    fleet.run("run", "start", "count", "--id", "r", "--input", '{"number": 1}')
    fleet.until(lambda: holders(fleet), "the step begins")
    fleet.launch(*worker)
    fleet.until(lambda: len(fleet.workers()) == 2, "the second worker")
    return holders(fleet).pop()


def test_f02_a_run_whose_worker_was_killed_goes_on_at_once_on_the_same_host(fleet: Fleet) -> None:
    """Its lock tells, not its lease."""
    owner = begin(fleet, WITH_A_LEASE_OF_AN_HOUR)

    os.kill(owner, signal.SIGKILL)
    fleet.until(lambda: holders(fleet) - {owner}, "another worker takes it over")

    (fleet.folder / "released").touch()
    fleet.run("run", "wait", "r", "--timeout", "30")
    assert steps(fleet) == ["step"]


def test_f03_a_worker_that_was_stopped_past_its_lease_loses_its_run_and_commits_nothing_when_it_comes_back(fleet: Fleet) -> None:
    owner = begin(fleet, WITH_THE_DEFAULT_LEASE)

    os.kill(owner, signal.SIGSTOP)
    try:
        fleet.until(lambda: holders(fleet) - {owner}, "another worker takes it over")
        (heir,) = holders(fleet) - {owner}
    finally:
        os.kill(owner, signal.SIGCONT)
    (fleet.folder / "released").touch()

    assert fleet.run("run", "wait", "r", "--timeout", "30").strip() == str(heir)
    assert steps(fleet) == ["step"]
