"""The command line, with real processes on a real store: what goes where, which exit status, and how a worker is stopped."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import perdure
from perdure.cli.main import perform
from tests.waiting import wait_until

SHOP = """
    import asyncio, os, time
    from dataclasses import dataclass
    from decimal import Decimal
    from pathlib import Path
    from perdure import Retry, info, receive, set_status, step, workflow

    @dataclass
    class Payment:
        amount: Decimal

    @step
    async def reserve(order: str) -> str:
        return f"reserved {order}"

    @workflow
    async def fulfil(order: str, amount: Decimal = Decimal("1.50")) -> dict[str, str]:
        reservation = await reserve(order)
        set_status({"is": "waiting for payment"})
        paid = await receive("paid", Payment)
        return {"order": order, "paid": str(paid.amount), "reservation": reservation}

    @workflow
    async def greet(name: str = "world") -> str:
        return f"hello, {name}, 事務"

    @workflow
    async def fail() -> None:
        raise RuntimeError("out of stock")

    def begun(name: str) -> None:
        with Path(os.environ["BEGUN"]).open("a") as file:
            file.write(f"{name} {info().attempt}\\n")

    def wait_until_released() -> None:
        while not Path("released").exists():
            time.sleep(0.01)

    @step
    def hold() -> str:
        begun("hold")
        wait_until_released()
        return "held"

    @step
    async def block() -> str:
        begun("block")
        wait_until_released()
        return "blocked"

    @workflow
    async def hold_on() -> str:
        return await hold()

    @workflow
    async def block_loop() -> str:
        return await block()
"""


@dataclass
class Place:
    """A folder with an app and the address of a store."""

    folder: Path
    store: str

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"PERDURE_STORE": self.store, "BEGUN": str(self.begun)}

    @property
    def begun(self) -> Path:
        return self.folder / "begun"

    def release(self) -> None:
        """Let steps that hold come to their end."""
        (self.folder / "released").touch()

    @contextmanager
    def worker(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """Running and ready; killed at the end if it still runs."""
        command = [sys.executable, "-m", "perdure", "worker", "shop.py", *arguments]
        process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if " runs " in line:
                    break
            yield process
        finally:
            process.kill()
            process.communicate()

    def run(self, *arguments: str, given: str | None = None, path: Path | None = None) -> "subprocess.CompletedProcess[str]":
        """A command in a process of its own. `path`: where it finds another perdure than this one."""
        command = [sys.executable, "-m", "perdure", *arguments]
        environment = self.environment | ({} if path is None else {"PYTHONPATH": str(path)})
        return subprocess.run(
            command, cwd=self.folder, env=environment, input=given, capture_output=True, text=True, check=False, timeout=60
        )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A worker that runs as long as the tests of this file; each takes runs of its own."""
    place = new_place(tmp_path_factory.mktemp("shop"))
    with place.worker():
        yield place


@pytest.fixture
def own(tmp_path: Path) -> Place:
    """A place without a worker and without a store."""
    return new_place(tmp_path)


def new_place(folder: Path) -> Place:
    (folder / "shop.py").write_text(dedent(SHOP))
    return Place(folder, f"sqlite:///{folder / 'shop.db'}")


@pytest.fixture
def call(shop: Place, capsys: pytest.CaptureFixture[str]) -> Any:
    """A command in this process: exit status, standard output, standard error."""

    def called(*arguments: str) -> tuple[int, str, str]:
        status = perform([*arguments, "--store", shop.store])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return called


def read_until_stopping(process: "subprocess.Popen[str]") -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if "stopping" in line:
            return
    raise AssertionError("it ended without a word")


def wait_until_begun(place: Place) -> None:
    """The file is written by the step itself."""
    wait_until(lambda: place.begun.exists() and bool(place.begun.read_text()), "the step begins")


def has_open(pid: int, name: str) -> bool:
    """Whether a process has a file of this name open."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if os.readlink(link).endswith(name):
                return True
    return False


def has_pending(pid: int, number: signal.Signals) -> bool:
    """Whether a signal is on its way; two of one kind that are would be one."""
    pending = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("ShdPnd"))
    return bool(int(pending.split()[1], 16) & 1 << (number - 1))


# ── starting and waiting ─────────────────────────────────────────────────────────────────────────────────────────────


def test_start_and_wait_prints_the_result_as_json_and_nothing_else(shop: Place) -> None:
    ended = shop.run("run", "start", "greet", "--input", '{"name": "Zoë"}', "--wait")

    assert (ended.returncode, json.loads(ended.stdout), ended.stderr) == (0, "hello, Zoë, 事務", "")


def test_input_may_come_from_standard_input(shop: Place) -> None:
    ended = shop.run("run", "start", "greet", "--input", "-", "--wait", given='{"name": "stdin"}')

    assert json.loads(ended.stdout) == "hello, stdin, 事務"


def test_a_failed_run_is_exit_1_with_its_error_on_standard_error(call) -> None:
    status, out, err = call("run", "start", "fail", "--wait")

    assert (status, out) == (1, "")
    assert "RuntimeError: out of stock" in err


def test_json_of_a_failed_run_tells_the_error_on_standard_output_too(call) -> None:
    status, out, _ = call("run", "start", "fail", "--wait", "-o", "json")

    document = json.loads(out)
    assert (status, document["status"], document["result"]) == (1, "failed", None)
    assert document["error"]["message"] == "out of stock"


def test_the_same_start_twice_is_the_same_run_and_other_input_a_conflict(call) -> None:
    first = call("run", "start", "fulfil", "--id", "twice", "--input", '{"order": "A", "amount": "2"}', "-q")
    again = call("run", "start", "fulfil", "--id", "twice", "--input", '{"amount": "2", "order": "A"}', "-q")
    other, _, err = call("run", "start", "fulfil", "--id", "twice", "--input", '{"order": "B"}', "-q")

    assert first[:2] == again[:2] == (0, "twice\n")
    assert other == 4
    assert "'twice' exists" in err


def test_waiting_no_longer_than_asked_is_exit_124_and_says_what_the_run_waits_for(call) -> None:
    call("run", "start", "fulfil", "--id", "late", "--input", '{"order": "A"}')
    status, out, err = call("run", "wait", "late", "--timeout", "0.5s")

    assert (status, out) == (124, "")
    assert "'late' has not ended" in err


def test_a_signal_ends_the_wait_and_its_repeat_does_nothing_even_after_the_end(call) -> None:
    call("run", "start", "fulfil", "--id", "paid", "--input", '{"order": "A"}')

    sent = call("run", "signal", "paid", "paid", "--payload", '{"amount": "12.50"}', "--key", "payment-1", "-o", "json")
    ended = call("run", "wait", "paid", "--timeout", "30")
    again = call("run", "signal", "paid", "paid", "--payload", '{"amount": "99"}', "--key", "payment-1")
    other, _, err = call("run", "signal", "paid", "paid", "--payload", '{"amount": "99"}', "--key", "payment-2")

    assert (sent[0], json.loads(sent[1])) == (0, {"id": "paid", "topic": "paid", "key": "payment-1"})
    assert (ended[0], json.loads(ended[1])) == (0, {"order": "A", "paid": "12.50", "reservation": "reserved A"})
    assert again[0] == 0
    assert other == 4
    assert err.startswith("error: ")


# ── looking ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_show_tells_what_a_run_waits_for_and_what_it_said_last(call, shop: Place) -> None:
    call("run", "start", "fulfil", "--id", "shown", "--input", '{"order": "A"}')
    note = wait_until(lambda: json.loads(call("run", "show", "shown", "-o", "json")[1])["note"], "it notes something")
    status, out, _ = call("run", "show", "shown", "-o", "json")

    document = json.loads(out)
    assert status == 0
    assert note == document["note"] == {"is": "waiting for payment"}
    assert document["input"]["order"] == "A"
    assert set(document) == {
        "id", "workflow", "status", "note", "waiting_for", "input", "result", "error", "started_at", "ended_at"
    }  # fmt: skip


def test_history_shows_every_record_with_what_came_out(call) -> None:
    call("run", "start", "fulfil", "--id", "told", "--input", '{"order": "A"}')
    call("run", "signal", "told", "paid", "--payload", '{"amount": "1"}')
    call("run", "wait", "told")

    _, lines, _ = call("run", "history", "told", "-o", "jsonl")
    _, table, _ = call("run", "history", "told")

    records = [json.loads(line) for line in lines.splitlines()]
    assert [(one["kind"], one["name"]) for one in records if one["kind"] in ("step", "signal")] == [("step", "reserve"), ("signal", "paid")]
    assert records[1]["output"] == "reserved A"
    assert "reserved A" in table.splitlines()[1].split("\t")


def test_a_list_is_paged_by_the_cursor_that_each_page_gives(call) -> None:
    for number in range(3):
        call("run", "start", "fulfil", "--id", f"page-{number}", "--input", '{"order": "A"}')
    _, out, _ = call("run", "list", "--workflow", "fulfil", "--limit", "2", "-o", "json")
    first = json.loads(out)
    _, out, _ = call("run", "list", "--workflow", "fulfil", "--limit", "1", "--cursor", first["cursor"], "-o", "json")
    second = json.loads(out)

    assert [one["id"] for one in first["runs"] + second["runs"]] == ["page-2", "page-1", "page-0"]


def test_a_page_in_a_pipe_says_on_standard_error_how_to_go_on(call) -> None:
    for number in range(2):
        call("run", "start", "greet", "--id", f"piped-{number}")
    _, out, err = call("run", "list", "--limit", "1")

    assert len(out.splitlines()) == 1
    assert err.startswith("more: --cursor ")


def test_quiet_prints_ids_only(call) -> None:
    call("run", "start", "fail", "--id", "quietly", "--wait")
    _, out, err = call("run", "list", "-q", "--status", "failed", "--limit", "1000")

    assert "quietly" in out.splitlines()
    assert err == ""


@pytest.mark.parametrize(
    "arguments", [["show", "none"], ["history", "none"], ["wait", "none"], ["signal", "none", "topic"]], ids=lambda one: one[0]
)
def test_a_run_that_does_not_exist_is_exit_3(call, arguments: list[str]) -> None:
    status, out, err = call("run", *arguments)

    assert (status, out) == (3, "")
    assert "'none'" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["start", "greet", "--input", "[1]"],
        ["start", "greet", "--input", "{"],
        ["start", "greet", "--id", ""],
        ["start", "greet", "--id", "x" * 300],
        ["start", "greet", "--id", "bell\a"],
        ["list", "--cursor", "nonsense"],
        ["wait", "x", "--timeout", "soon"],
    ],
    ids=["no object", "no JSON", "empty id", "long id", "unprintable id", "cursor", "duration"],
)
def test_input_that_does_not_fit_is_exit_2_and_stores_nothing(call, arguments: list[str]) -> None:
    before = call("run", "list", "-q", "--limit", "1000")
    status, out, err = call("run", *arguments)

    assert (status, out, err.count("\n")) == (2, "", 2)
    assert call("run", "list", "-q", "--limit", "1000") == before


def test_ctrl_c_while_waiting_is_exit_130_and_changes_nothing(call, shop: Place) -> None:
    call("run", "start", "fulfil", "--id", "interrupted", "--input", '{"order": "A"}')
    command = [sys.executable, "-m", "perdure", "run", "wait", "interrupted"]
    with subprocess.Popen(command, env=shop.environment, stderr=subprocess.PIPE, text=True) as waiting:
        wait_until(lambda: has_open(waiting.pid, "shop.db-shm"), "it has opened the store")
        waiting.send_signal(signal.SIGINT)
        _, err = waiting.communicate(timeout=30)

    assert (waiting.returncode, err) == (130, "interrupted\n")
    assert json.loads(call("run", "show", "interrupted", "-o", "json")[1])["status"] in ("pending", "running", "waiting")


# ── the store ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_migrate_creates_the_store_and_may_be_repeated(own: Place) -> None:
    missing = own.run("db", "status")
    first, again, status = (own.run("db", one, "-o", "json") for one in ("migrate", "migrate", "status"))

    assert missing.returncode == 5
    assert (first.returncode, again.returncode, status.returncode) == (0, 0, 0)
    assert json.loads(first.stdout) == json.loads(again.stdout) == json.loads(status.stdout)
    assert json.loads(status.stdout)["pending"] == []


def test_a_store_of_another_release_says_which_side_is_to_be_brought_up_to_date(own: Place, tmp_path: Path) -> None:
    next_release = tmp_path / "next"
    shutil.copytree(Path(perdure.__file__).parent, next_release / "perdure", ignore=shutil.ignore_patterns("__pycache__"))
    migrations = next_release / "perdure/store/sqlite/migrations"
    number = len(list(migrations.glob("*.sql"))) + 1
    (migrations / f"{number:04}_later.sql").write_text("create table later (it integer) strict;\n")
    own.run("db", "migrate")

    status, listed = own.run("db", "status", path=next_release), own.run("run", "list", path=next_release)
    migrated = own.run("db", "migrate", "-o", "json", path=next_release)
    too_old = own.run("run", "list")

    assert (status.returncode, listed.returncode) == (1, 5)
    assert f"{number:04}_later" in status.stderr
    assert "perdure db migrate" in status.stderr
    assert (migrated.returncode, json.loads(migrated.stdout)["version"]) == (0, number)
    assert too_old.returncode == 5
    assert "upgrade this perdure" in too_old.stderr


def test_what_is_no_store_is_refused_and_left_as_it_is(own: Place) -> None:
    path = own.folder / "shop.db"
    path.write_text("a diary, not a database" * 100)
    before = path.read_bytes()

    ended = own.run("run", "list")

    assert ended.returncode == 5
    assert ended.stderr.startswith("error: ")
    assert path.read_bytes() == before


def test_a_worker_told_not_to_migrate_refuses_a_store_that_does_not_exist(own: Place) -> None:
    assert own.run("worker", "shop.py", "--no-migrate").returncode == 5
    assert not (own.folder / "shop.db").exists()


# ── stopping a worker ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_worker_writes_nothing_to_standard_output_and_says_what_it_runs(own: Place) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "perdure", "worker", "shop.py"],
        cwd=own.folder, env=own.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    said = process.stderr.readline()
    process.terminate()
    out, _ = process.communicate(timeout=30)

    assert out == ""
    assert f"worker {process.pid} runs fulfil, greet, fail, hold_on, block_loop on {own.store}" in said


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"])
def test_a_step_under_way_may_end_before_the_worker_stops(own: Place, number: signal.Signals, status: int) -> None:
    with own.worker() as process:
        own.run("run", "start", "hold_on", "--id", "r")
        wait_until_begun(own)
        process.send_signal(number)
        read_until_stopping(process)
        own.release()

        assert process.wait(30) == status
    steps = [one for one in json.loads(own.run("run", "history", "r", "-o", "json").stdout) if one["kind"] == "step"]
    assert [one["output"] for one in steps] == ["held"]


def test_f05_a_second_sigterm_gives_up_the_step_and_the_next_worker_begins_it_again(own: Place) -> None:
    with own.worker() as process:
        own.run("run", "start", "hold_on", "--id", "r")
        wait_until_begun(own)
        process.terminate()
        read_until_stopping(process)
        process.terminate()
        process.stderr.read()
        assert process.wait(30) == 0
    handed_over = json.loads(own.run("run", "show", "r", "-o", "json").stdout)
    own.release()
    with own.worker():
        ended = own.run("run", "wait", "r", "--timeout", "30")

    assert handed_over["status"] == "waiting"
    assert json.loads(ended.stdout) == "held"
    assert own.begun.read_text().splitlines() == ["hold 1", "hold 1"]


def test_f05_a_third_signal_ends_even_a_worker_whose_event_loop_is_blocked(own: Place) -> None:
    with own.worker() as process:
        own.run("run", "start", "block_loop", "--id", "r")
        wait_until_begun(own)
        for number in (signal.SIGTERM, signal.SIGINT):
            process.send_signal(number)
            wait_until(lambda number=number: not has_pending(process.pid, number), "the signal was taken")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 130
    own.release()
    with own.worker():
        ended = own.run("run", "wait", "r", "--timeout", "30")

    assert json.loads(ended.stdout) == "blocked"


def test_an_app_that_cannot_be_imported_shows_where(own: Place) -> None:
    (own.folder / "shop.py").write_text("import json\n\njson.loads('{')\n")

    ended = own.run("worker", "shop.py")

    assert ended.returncode == 2
    assert 'shop.py", line 3' in ended.stderr
    assert not (own.folder / "shop.db").exists()
