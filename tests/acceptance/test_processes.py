"""`perdure worker --processes N`: one supervisor, several workers, real signals and real SIGKILL."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from perdure import Client
from tests.server import new_address
from tests.waiting import wait_until

APP = """
    import os
    from pathlib import Path
    from perdure import receive, step, workflow

    @step
    def touch(number: int) -> int:
        Path("touched", f"{number}-{os.getpid()}").touch()
        return number

    @workflow
    async def count(number: int) -> int:
        await touch(number)
        await receive("go")
        return await touch(number + 1000)
"""


class Fleet:
    """`perdure worker` in a folder of its own; what it says is gathered in a file."""

    def __init__(self, folder: Path, app: str = APP, kind: str = "sqlite") -> None:
        self.folder = folder
        url = f"sqlite:///{folder / 'store.db'}" if kind == "sqlite" else new_address()
        (folder / "app.py").write_text(dedent(app))
        (folder / "touched").mkdir()
        self.environment = os.environ | {"PERDURE_STORE": url}
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return self.launch("-m", "perdure", "worker", *arguments)

    def launch(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Python with these arguments."""
        command = [sys.executable, *arguments]
        with (self.folder / "said").open("ab") as said:
            process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stderr=said)
        self._processes.append(process)
        return process

    def run(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "perdure", *arguments]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def workers(self) -> list[int]:
        """Process ids that said that they run, alive or not."""
        return [int(pid) for pid in re.findall(r"worker (\d+) runs", self.said)]

    def until(self, condition: Callable[[], object], what: str) -> None:
        wait_until(condition, what, told=lambda: self.said)

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        self.until(lambda: not any(is_alive(pid) for pid in self.workers()), "workers outlive their supervisor")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


ON_BOTH = pytest.mark.parametrize("fleet", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, kind=getattr(request, "param", "sqlite"))
    yield fleet
    fleet.end()


@ON_BOTH
def test_as_many_workers_run_as_were_asked_for_and_share_the_runs(fleet: Fleet) -> None:
    fleet.start("app.py", "--processes", "3")
    fleet.until(lambda: len(set(fleet.workers())) == 3, "three workers")
    with Client.blocking(fleet.environment["PERDURE_STORE"]) as client:
        runs = [client.start("count", number=number) for number in range(10)]
        for run in runs:
            run.signal("go")
        assert [run.result(60) for run in runs] == list(range(1000, 1010))

    touched = [path.name.split("-")[0] for path in (fleet.folder / "touched").iterdir()]
    assert sorted(map(int, touched)) == [*range(10), *range(1000, 1010)]


@ON_BOTH
def test_a_killed_worker_is_replaced_and_its_run_goes_on(fleet: Fleet) -> None:
    supervisor = fleet.start("app.py", "--processes", "2")
    fleet.until(lambda: len(set(fleet.workers())) == 2, "two workers")
    fleet.run("run", "start", "count", "--id", "r", "--input", '{"number": 1}')
    fleet.until(lambda: "signal 'go'" in fleet.run("run", "show", "r", "-o", "json"), "the first step is recorded")
    first = set(fleet.workers())
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    fleet.until(lambda: len(set(fleet.workers())) == 4, "two more workers")
    fleet.run("run", "signal", "r", "go")

    assert fleet.run("run", "wait", "r", "--timeout", "30").strip() == "1001"
    assert supervisor.poll() is None
    assert fleet.said.count("was killed by SIGKILL") == 2
    touched = [path.name for path in (fleet.folder / "touched").iterdir()]
    assert len([name for name in touched if name.startswith("1-")]) == 1  # what was recorded was not run again


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"])
def test_a_signal_to_the_supervisor_stops_all_of_them_cleanly(fleet: Fleet, number: signal.Signals, status: int) -> None:
    supervisor = fleet.start("app.py", "--processes", "2")
    fleet.until(lambda: len(set(fleet.workers())) == 2, "two workers")
    supervisor.send_signal(number)

    assert supervisor.wait(30) == status
    assert fleet.said.count("perdure.worker: stopped") == 2
    assert not any(is_alive(pid) for pid in fleet.workers())


@ON_BOTH
def test_workers_stop_when_their_supervisor_is_killed(fleet: Fleet) -> None:
    supervisor = fleet.start("app.py", "--processes", "2")
    fleet.until(lambda: len(set(fleet.workers())) == 2, "two workers")
    supervisor.kill()
    supervisor.wait()

    fleet.until(lambda: not any(is_alive(pid) for pid in fleet.workers()), "nobody is left")
    assert fleet.said.count("perdure.worker: stopped") == 2


def test_what_cannot_even_begin_is_told_once_and_not_tried_for_ever(fleet: Fleet) -> None:
    (fleet.folder / "app.py").write_text("import json\njson.loads('{')\n")

    assert fleet.start("app.py", "--processes", "3").wait(30) == 2
    assert fleet.said.count("app.py could not be imported") == 1


def test_a_store_in_memory_is_refused_for_several_processes(fleet: Fleet) -> None:
    assert fleet.start("app.py", "--processes", "2", "--store", "sqlite:///:memory:").wait(30) == 2
    assert "cannot share a store in memory" in fleet.said


def test_several_apps_are_run_by_one_worker_and_two_workflows_of_one_name_are_refused(fleet: Fleet) -> None:
    (fleet.folder / "second.py").write_text("from perdure import workflow\n@workflow\nasync def second() -> int:\n    return 2\n")
    (fleet.folder / "clash.py").write_text(
        "from perdure import workflow\n@workflow(name='count')\nasync def other() -> int:\n    return 3\n"
    )
    process = fleet.start("app.py", "second.py", "app.py:count")
    fleet.until(lambda: "runs count, second" in fleet.said, "both are known")
    assert fleet.run("run", "start", "second", "--wait").strip() == "2"
    process.terminate()

    assert process.wait(30) == 0
    assert fleet.start("app.py", "clash.py").wait(30) == 2
    assert "two workflows of the name 'count'" in fleet.said
