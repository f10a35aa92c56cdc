"""The demo, as a newcomer runs it: it ends in time with every promise kept, and it would say so if one were broken."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import perdure
from perdure.demo.ledger import read_ledger

KILLS = 5
LEASE_LEFT_SECONDS = 7  # of a lease of 10 s that is renewed every 3 s: so long it would take if leases were waited for


@dataclass
class Shown:
    status: int
    out: str
    err: str
    seconds: float
    folder: Path  # what it kept
    temporary: Path  # the folder for temporary files that it was given


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "perdure", "demo", *arguments]


def show(place: Path, *arguments: str, path: Path | None = None) -> Shown:
    """Run the demo. `path`: where it finds another perdure than this one."""
    temporary = place / "temporary"
    temporary.mkdir(exist_ok=True)
    environment = os.environ | {"TMPDIR": str(temporary)} | ({} if path is None else {"PYTHONPATH": str(path)})
    began = time.monotonic()
    ended = subprocess.run(command(*arguments), env=environment, capture_output=True, text=True, check=False, timeout=100)
    return Shown(ended.returncode, ended.stdout, ended.stderr, time.monotonic() - began, place / "kept", temporary)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """One whole demo, looked at from many sides."""
    place = tmp_path_factory.mktemp("demo")
    return show(place, "--seed", "11", "--kills", str(KILLS), "--keep", str(place / "kept"))


def processes_of(folder: Path) -> list[str]:
    """Command lines of processes that name this folder."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = line.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended while we looked
        if str(folder) in text:
            found.append(text)
    return found


def altered(place: Path, file: str, old: str, new: str) -> Path:
    """A copy of perdure with one line changed."""
    shutil.copytree(Path(perdure.__file__).parent, place / "altered/perdure", ignore=shutil.ignore_patterns("__pycache__"))
    target = place / "altered/perdure" / file
    text = target.read_text()
    assert old in text
    target.write_text(text.replace(old, new))
    return place / "altered"


def test_every_promise_is_kept_in_under_thirty_seconds(shown: Shown) -> None:
    assert (shown.status, shown.err) == (0, "")
    assert shown.seconds < 30
    assert "BROKEN" not in shown.out
    assert f"Killed {KILLS} times: each approved request was ordered exactly once" in shown.out


def test_the_first_four_lines_say_what_will_be_seen(shown: Shown) -> None:
    first = shown.out.splitlines()[:5]

    assert all(first[:4])
    assert first[4] == ""
    assert "50 purchase requests" in first[0]
    assert f"killed with SIGKILL {KILLS} times" in first[2]


def test_outside_a_terminal_each_event_is_a_line_without_escape_codes(shown: Shown) -> None:
    assert "\x1b" not in shown.out
    assert "\r" not in shown.out
    assert sum(" s  kill " in line for line in shown.out.splitlines()) == KILLS


def test_each_kill_met_a_worker_that_owned_unfinished_runs_and_no_lease_was_waited_for(shown: Shown) -> None:
    table = shown.out.partition("kill  unfinished runs owned")[2].splitlines()[1 : KILLS + 1]
    rows = [line.split() for line in table]

    assert [row[0] for row in rows] == [str(number) for number in range(1, KILLS + 1)]
    assert all(int(row[1]) > 0 for row in rows)
    assert all(float(row[3]) < LEASE_LEFT_SECONDS for row in rows)


def test_the_table_agrees_with_the_order_systems_ledger(shown: Shown) -> None:
    orders = [one for one in read_ledger(shown.folder / "orders.jsonl") if one["event"] == "order"]
    expected = next(line for line in shown.out.splitlines() if line.startswith("orders in the order system's ledger"))

    assert len({one["request"] for one in orders}) == len(orders) == int(expected.split()[-2])


def test_the_commands_it_names_at_the_end_show_what_it_kept(shown: Shown) -> None:
    named = [line.split() for line in shown.out.splitlines() if line.startswith("  perdure run ")]

    assert len(named) == 2
    for words in named:
        ended = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=True, timeout=60)
        assert "purchase" in ended.stdout


def test_it_leaves_no_process_and_no_temporary_file_behind(shown: Shown) -> None:
    assert processes_of(shown.folder) == []
    assert list(shown.temporary.iterdir()) == []


def test_a_broken_promise_is_exit_1_and_what_shows_it_is_kept(tmp_path: Path) -> None:
    forgetful = altered(
        tmp_path, "demo/purchasing.py", '"Idempotency-Key": info().idempotency_key or ""', '"Idempotency-Key": os.urandom(8).hex()'
    )

    seen = show(tmp_path, "--seed", "11", "--kills", "3", path=forgetful)

    assert seen.status == 1
    twice = next(line for line in seen.out.splitlines() if line.startswith("requests ordered more than once"))
    assert "BROKEN: PR-2026-" in twice
    (kept,) = seen.temporary.iterdir()
    assert str(kept) in seen.out


def test_a_demo_that_cannot_go_on_says_why_and_leaves_no_process(tmp_path: Path) -> None:
    failing = altered(
        tmp_path, "demo/purchasing.py", "left = Decimal(", "raise ValueError('the budget is secret')\n        left = Decimal("
    )

    seen = show(tmp_path, "--seed", "11", path=failing)

    assert seen.status == 1
    assert "ValueError: the budget is secret" in seen.out
    assert processes_of(seen.temporary) == []


@pytest.fixture
def started(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A demo that is going on: its worker has been killed once, and the next one is up."""
    (tmp_path / "temporary").mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command("--seed", "11"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        kills = 0
        for line in process.stdout:
            kills += " s  kill " in line
            if kills and " is up" in line:
                break
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["ctrl-c", "asked to end", "terminal closed"])
def test_a_demo_that_is_interrupted_leaves_nothing_behind(started: "subprocess.Popen[str]", tmp_path: Path, number: signal.Signals) -> None:
    assert processes_of(tmp_path / "temporary")  # the order system, and the worker if it has not just been killed again
    started.send_signal(number)
    _, err = started.communicate(timeout=30)

    assert (started.returncode, err) == (130, "interrupted\n")
    assert processes_of(tmp_path / "temporary") == []
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/diary").write_text("dear diary")

    seen = show(tmp_path, "--keep", str(tmp_path / "kept"))

    assert seen.status == 2
    assert "is not empty" in seen.err
    assert [one.name for one in (tmp_path / "kept").iterdir()] == ["diary"]
