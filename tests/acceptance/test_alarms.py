"""`perdure worker --on-trouble-command` and `--on-trouble-webhook`, with real processes, a real server and real SIGKILL."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from perdure import Trouble
from perdure.cli.alarms import alarm_of
from perdure.cli.main import perform
from tests.waiting import wait_until

APP = """
    from perdure import workflow

    @workflow
    async def fail() -> None:
        raise RuntimeError("out of stock")
"""
TROUBLE = Trouble("order-1", "fail", "failed", {"type": "RuntimeError", "message": "out of stock"}, datetime(2026, 1, 1, tzinfo=UTC))


class Receiver:
    """A web server that keeps what is posted to it. `answers`: statuses to give, the last one for ever."""

    def __init__(self, *answers: int) -> None:
        self.posts: list[tuple[dict[str, Any], str | None]] = []
        receiver, statuses = self, list(answers or (200,))

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.posts.append((body, self.headers["Idempotency-Key"]))
                self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receive() -> Iterator[Callable[..., Receiver]]:
    receivers: list[Receiver] = []

    def start(*answers: int) -> Receiver:
        receivers.append(Receiver(*answers))
        return receivers[-1]

    yield start
    for receiver in receivers:
        receiver.close()


class Place:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "app.py").write_text(dedent(APP))
        (folder / "said").touch()
        self.environment = os.environ | {"PERDURE_STORE": f"sqlite:///{folder / 'store.db'}"}
        self._processes: list[subprocess.Popen[bytes]] = []

    def worker(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Running and ready."""
        ready = self.said.count(" runs fail")
        command = [sys.executable, "-m", "perdure", "worker", "app.py", *arguments]
        with (self.folder / "said").open("ab") as said:
            process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stderr=said)
        self._processes.append(process)
        self.until(lambda: self.said.count(" runs fail") > ready)
        return process

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def fail(self, run_id: str) -> None:
        command = [sys.executable, "-m", "perdure", "run", "start", "fail", "--id", run_id, "--wait", "--timeout", "30"]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, check=False, timeout=60)
        assert done.returncode == 1, done.stderr

    def until(self, condition: Callable[[], object]) -> None:
        wait_until(condition, "what the worker was to do", told=lambda: self.said)

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.end()


def test_the_webhook_gets_each_failed_run_once_although_workers_are_killed(place: Place, receive: Callable[..., Receiver]) -> None:
    receiver = receive()
    for number in range(3):
        process = place.worker("--on-trouble-webhook", receiver.url)
        place.fail(f"order-{number}")
        place.until(lambda number=number: len(receiver.posts) > number)
        place.until(lambda: not untold(place))
        process.send_signal(signal.SIGKILL)
        process.wait()
    last = place.worker("--on-trouble-webhook", receiver.url)
    place.fail("order-3")
    place.until(lambda: len(receiver.posts) == 4)
    last.terminate()
    last.wait(30)

    documents = [document for document, _ in receiver.posts]
    assert [one["run_id"] for one in documents] == [f"order-{number}" for number in range(4)]
    assert documents[0]["kind"] == "failed"
    assert documents[0]["workflow"] == "fail"
    assert documents[0]["error"]["message"] == "out of stock"
    assert [key for _, key in receiver.posts] == [one["key"] for one in documents]


def test_what_failed_while_nobody_listened_is_told_by_the_next_worker_that_does(place: Place, receive: Callable[..., Receiver]) -> None:
    process = place.worker()
    place.fail("order-1")
    process.kill()
    process.wait()
    receiver = receive()
    place.worker("--on-trouble-webhook", receiver.url)
    place.until(lambda: receiver.posts)

    assert receiver.posts[0][0]["run_id"] == "order-1"


def test_the_command_gets_the_run_in_its_environment_and_as_json_on_standard_input(place: Place) -> None:
    script = """import json, os, sys
with open("told", "a") as told:
    print(os.environ["PERDURE_TROUBLE_RUN"], json.load(sys.stdin)["kind"], file=told)
"""
    (place.folder / "notify.py").write_text(script)
    place.worker("--on-trouble-command", f"{sys.executable} notify.py")
    place.fail("order-1")
    told = place.folder / "told"
    place.until(lambda: told.exists() and told.read_text())
    place.until(lambda: not untold(place))

    assert told.read_text() == "order-1 failed\n"


def untold(place: Place) -> bool:
    import apsw

    with apsw.Connection(str(place.folder / "store.db"), flags=apsw.SQLITE_OPEN_READWRITE) as db:
        db.set_busy_timeout(5000)
        return bool(db.execute("select 1 from troubles").fetchall())


# ── one call ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_an_answer_other_than_2xx_is_an_error_with_its_status(receive: Callable[..., Receiver], status: int) -> None:
    alarm = alarm_of(None, receive(status).url, "default")
    assert alarm is not None

    with pytest.raises(RuntimeError, match=str(status)):
        await alarm(TROUBLE)


async def test_a_server_that_is_not_there_is_an_error() -> None:
    alarm = alarm_of(None, "http://127.0.0.1:9/none", "default")
    assert alarm is not None

    with pytest.raises(OSError):
        await alarm(TROUBLE)


async def test_a_command_that_ends_badly_is_an_error_with_what_it_said() -> None:
    alarm = alarm_of(f"""{sys.executable} -c 'import sys; sys.exit("no phone")'""", None, "default")
    assert alarm is not None

    with pytest.raises(RuntimeError, match=r"status 1: no phone"):
        await alarm(TROUBLE)


async def test_a_command_whose_time_is_over_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "slow.py"
    program.write_text(f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n")
    alarm = alarm_of(f"sh -c '{sys.executable} {program}; true'", None, "default")  # what a shell began ends, too
    assert alarm is not None
    call = asyncio.ensure_future(alarm(TROUBLE))
    told = tmp_path / "pid"
    await asyncio.to_thread(wait_until, lambda: told.exists() and told.read_text(), "the command runs")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    pid = int((tmp_path / "pid").read_text())
    await asyncio.to_thread(until_gone, pid)


def until_gone(pid: int) -> None:
    command = Path(f"/proc/{pid}/cmdline")
    wait_until(lambda: not (command.exists() and command.read_bytes()), f"process {pid} is gone")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--on-trouble-webhook", "ftp://example.com"],
        ["--on-trouble-webhook", "example.com"],
        ["--on-trouble-command", "'"],
        ["--on-trouble-command", ""],
    ],
    ids=["scheme", "no scheme", "quotes", "empty"],
)
def test_what_could_never_work_is_refused_before_the_worker_begins(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "app.py").write_text(dedent(APP))

    assert perform(["worker", str(tmp_path / "app.py"), "--store", f"sqlite:///{tmp_path / 's.db'}", *arguments]) == 2
    assert not (tmp_path / "s.db").exists()
