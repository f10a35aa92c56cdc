"""`perdure dev APP`: the worker is started anew when its code changes, runs go on, and a mistake in the code ends nothing."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from textwrap import dedent

import pytest

from tests.waiting import wait_until

APP = """
    from pathlib import Path
    from perdure import Retry, receive, step, workflow

    @step
    def first() -> str:
        with Path("begun").open("a") as file:
            file.write("first\\n")
        return "first"

    @step(retry=Retry(initial=3600))
    def never() -> None:
        raise OSError("no courier")

    @workflow
    async def flow() -> str:
        first_word = await first()
        await receive("go")
        return first_word + "ORIGINAL"

    @workflow
    async def stuck() -> None:
        await never()
"""


class Development:
    """`perdure dev app.py` in a folder of its own, in a pipe: a line for each change."""

    def __init__(self, folder: Path, app: str = APP, store: str = "sqlite:///store.db", says: str = "runs app.py") -> None:
        self.folder = folder
        self.app = folder / "app.py"
        if app:
            self.app.write_text(dedent(app))
        self.environment = os.environ | {"PERDURE_STORE": store}
        with (folder / "said").open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "perdure", "dev", "app.py"], cwd=folder, env=self.environment, stdout=said, stderr=said
            )
        wait_until(lambda: says in self.said, says, told=lambda: self.said)

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def run(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "perdure", *arguments]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout

    def write(self, text: str) -> None:
        """As editors save: at once, under another name first."""
        new = self.folder / "app.py.new"
        new.write_text(text)
        new.replace(self.app)

    def until(self, condition: Callable[[], object], what: str) -> None:
        wait_until(lambda: condition() or self.process.poll() is not None, what, told=lambda: self.said)
        assert self.process.poll() is None, f"it has ended:\n{self.said}"

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def workers(self) -> list[str]:
        return re.findall(r"^worker (\d+) runs app.py", self.said, re.MULTILINE)


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Development]:
    with closing(Development(tmp_path)) as development:
        yield development


def test_changed_code_runs_in_a_new_worker_and_runs_go_on_where_they_were(dev: Development) -> None:
    dev.run("run", "start", "flow", "--id", "r")
    dev.until(lambda: "r (flow): " in dev.said and "signal 'go'" in dev.said, "the run waits")
    dev.write(dev.app.read_text().replace("ORIGINAL", " and changed"))
    dev.until(lambda: len(dev.workers) == 2, "a second worker")
    dev.run("run", "signal", "r", "go")

    assert dev.run("run", "wait", "r", "--timeout", "30").strip() == '"first and changed"'
    assert (dev.folder / "begun").read_text() == "first\n"


def test_a_syntax_error_is_shown_and_the_worker_keeps_the_code_it_has(dev: Development) -> None:
    good = dev.app.read_text()
    dev.write(good + "\ndef (\n")
    dev.until(lambda: "SyntaxError" in dev.said, "the mistake is shown")
    dev.run("run", "start", "flow", "--id", "r")
    dev.run("run", "signal", "r", "go")
    assert dev.run("run", "wait", "r", "--timeout", "30").strip() == '"firstORIGINAL"'

    dev.write(good.replace("ORIGINAL", " and mended"))
    dev.until(lambda: len(dev.workers) == 2, "a second worker")
    dev.run("run", "start", "flow", "--id", "s")
    dev.run("run", "signal", "s", "go")
    assert dev.run("run", "wait", "s", "--timeout", "30").strip() == '"first and mended"'


def test_code_that_fails_when_it_is_imported_is_shown_until_it_is_mended(dev: Development) -> None:
    good = dev.app.read_text()
    dev.write("import no_such_module\n" + good)
    dev.until(lambda: "no_such_module" in dev.said and "save a file to start it anew" in dev.said, "the mistake is shown")
    dev.write(good)

    dev.until(lambda: len(dev.workers) == 2, "a second worker")
    dev.run("run", "start", "flow", "--id", "r")
    dev.run("run", "signal", "r", "go")
    assert dev.run("run", "wait", "r", "--timeout", "30").strip() == '"firstORIGINAL"'


def test_an_app_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    with closing(Development(tmp_path, app="", says="save a file to start it anew")) as dev:
        assert "there is no file app.py" in dev.said
        dev.write(dedent(APP))

        dev.until(lambda: "runs app.py" in dev.said, "the worker is ready")


@pytest.mark.parametrize("store", ["nonsense", "sqlite:///no/such/folder.db"], ids=["no address", "no folder"])
def test_a_store_that_no_code_can_mend_ends_it(tmp_path: Path, store: str) -> None:
    with closing(Development(tmp_path, store=store, says="error: ")) as dev:
        assert dev.process.wait(30) == 5
        assert "save a file" not in dev.said


def test_a_new_file_beside_the_app_counts_as_a_change(dev: Development) -> None:
    (dev.folder / "prices.py").write_text("PRICE = 3\n")

    dev.until(lambda: len(dev.workers) == 2, "a second worker")
    assert "prices.py changed" in dev.said


def test_a_worker_that_is_killed_is_replaced(dev: Development) -> None:
    os.kill(int(dev.workers[0]), signal.SIGKILL)

    dev.until(lambda: len(dev.workers) == 2, "a second worker")
    assert "was killed by SIGKILL" in dev.said


def test_it_shows_waits_retries_and_errors_as_they_happen(dev: Development) -> None:
    dev.run("run", "start", "stuck", "--id", "s")
    dev.run("run", "start", "flow", "--id", "r")

    wanted = {
        "the retry": r"s \(stuck\): \w+  step never to be tried again .*OSError: no courier",
        "the wait": r"r \(flow\): \w+  signal 'go'",
        "the totals": r"runs: 2 waiting",
    }

    def missing() -> list[str]:
        return [what for what, line in wanted.items() if not re.search(line, dev.said)]

    dev.until(lambda: not missing(), "all of it is shown")
    assert missing() == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_and_its_worker(dev: Development, number: signal.Signals, status: int) -> None:
    dev.process.send_signal(number)

    assert dev.process.wait(30) == status
    assert not Path(f"/proc/{dev.workers[0]}").exists()
