"""`perdure worker --retention`: runs that ended go when they are kept no longer, and only those."""

import json
from pathlib import Path

import pytest

from perdure.cli.main import perform
from tests.acceptance.test_processes import Fleet

APP = """
    from perdure import receive, workflow

    @workflow
    async def quick() -> str:
        return "done"

    @workflow
    async def breaks() -> None:
        raise OSError("no")

    @workflow
    async def waits() -> str:
        return await receive("word")
"""


@pytest.fixture
def fleet(tmp_path: Path):
    fleet = Fleet(tmp_path, APP)
    yield fleet
    fleet.end()


def ids(fleet: Fleet) -> set[str]:
    return {one["id"] for one in json.loads(fleet.run("run", "list", "-o", "json"))["runs"]}


def run_to_their_ends(fleet: Fleet) -> None:
    """Three runs of three workflows, of which two end, under a worker that keeps everything."""
    fleet.run("db", "migrate")
    for name in ("quick", "breaks", "waits"):
        fleet.run("run", "start", name, "--id", name)
    worker = fleet.start("app.py")
    fleet.until(lambda: {one["status"] for one in json.loads(fleet.run("run", "list", "-o", "json"))["runs"]} == STATES, "two have ended")
    worker.terminate()
    assert worker.wait() == 0


STATES = {"completed", "failed", "waiting"}


@pytest.mark.parametrize("processes", ["1", "2"])
def test_workers_delete_what_the_option_says_and_keep_the_rest(fleet: Fleet, processes: str) -> None:
    run_to_their_ends(fleet)

    fleet.start("app.py", "--processes", processes, "--retention", "completed=0", "--retention", "cancelled=0")

    fleet.until(lambda: ids(fleet) == {"breaks", "waits"}, "the completed run is gone, and it alone")


def test_the_variable_says_the_same_and_what_is_young_enough_is_kept(fleet: Fleet) -> None:
    run_to_their_ends(fleet)
    fleet.environment["PERDURE_RETENTION"] = "failed=0s completed=30d"

    fleet.start("app.py")

    fleet.until(lambda: ids(fleet) == {"quick", "waits"}, "the failed run is gone, and it alone")


@pytest.mark.parametrize(
    "wrong", ["running=1d", "completed", "completed=", "completed=-1", "completed=soon", "completed=99999999999d", "=1d"]
)
def test_a_retention_that_makes_no_sense_is_a_usage_error_before_anything_begins(wrong: str, tmp_path: Path, capsys) -> None:
    assert perform(["worker", "app.py", "--retention", wrong, "--store", f"sqlite:///{tmp_path / 's.db'}"]) == 2

    assert "--retention" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
