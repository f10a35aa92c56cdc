"""Every option of every command, given what makes no sense: one line what, one line what to do, the right exit status, nothing changed."""

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import click
import pytest

from perdure.cli.exits import Exit
from perdure.cli.main import cli, perform

USAGE, NOT_FOUND, CONFLICT, UNREACHABLE = Exit.USAGE, Exit.NOT_FOUND, Exit.CONFLICT, Exit.UNREACHABLE
LONG = "x" * 201
CONTROL = "a\nb"
DEEP = "[" * 100_000

GOOD = {
    "check": ["app.py"],
    "completion": ["bash"],
    "db backup": ["copy.db"],
    "db migrate": [],
    "db status": [],
    "demo": [],
    "dev": ["app.py"],
    "doctor": [],
    "run cancel": ["order-1"],
    "run delete": ["order-1"],
    "run export": ["order-1"],
    "run history": ["order-1"],
    "run list": [],
    "run pause": ["order-1"],
    "run resume": ["order-1"],
    "run retry": ["order-1"],
    "run show": ["order-1"],
    "run signal": ["order-1", "word"],
    "run start": ["flow"],
    "run wait": ["order-1"],
    "worker": ["app.py"],
}
"""What each command takes when nothing is wrong."""

OF_ONE_RUN = ("show", "history", "export", "wait")
OF_RUNS = ("cancel", "delete", "pause", "resume", "retry")
NOBODY = [(["nobody"], NOT_FOUND)]
APPS = [
    (["nowhere.py"], USAGE),
    (["app.py:nothing"], USAGE),
    (["broken.py"], USAGE),
    (["empty.py"], USAGE),
    (["no.such.module"], USAGE),
    ([""], USAGE),
    ([], USAGE),
]
DURATIONS = ["", "soon", "-1", "nan", "inf", "1w", "1e9", "99999999999d"]
NO_UTF8 = (["\udcff"], USAGE)  # as Python gives on what the shell gave
Bad = tuple[list[str], Exit]


def options(name: str, values: list[str], code: Exit = USAGE) -> list[Bad]:
    return [([name, value], code) for value in values]


ARGUMENTS: dict[tuple[str, str], list[Bad]] = {
    ("check", "app"): APPS,
    ("check", "histories"): [(["app.py", "nowhere.json"], USAGE)],  # what it finds in files is no bad input
    ("completion", "shell"): [(["tcsh"], USAGE), ([""], USAGE), ([], USAGE)],
    ("db backup", "target"): [
        (["app.py"], USAGE), (["nowhere/copy.db"], USAGE), (["."], USAGE), ([""], USAGE), ([], USAGE),
    ],
    ("dev", "apps"): [([], USAGE)],
    ("run signal", "topic"): [(["order-1", LONG], USAGE), (["order-1", ""], USAGE), (["order-1", CONTROL], USAGE), (["order-1"], USAGE)],
    ("run start", "name"): [([LONG], USAGE), ([""], USAGE), ([CONTROL], USAGE), ([], USAGE)],
    ("worker", "apps"): APPS,
    **{(f"run {verb}", "run_id"): [*NOBODY, ([LONG], NOT_FOUND), ([CONTROL], NOT_FOUND), NO_UTF8, ([], USAGE)] for verb in OF_ONE_RUN},
    ("run signal", "run_id"): [(["nobody", "word"], NOT_FOUND), (["\udcff", "word"], USAGE), ([], USAGE)],
    **{(f"run {verb}", "run_ids"): [*NOBODY, ([""], USAGE), ([CONTROL], NOT_FOUND), NO_UTF8, ([], USAGE)] for verb in OF_RUNS},
}  # fmt: skip
OPTIONS: dict[tuple[str, str], list[Bad]] = {
    ("check", "processes"): options("--processes", ["0", "-1", "257", "many", ""]),
    ("check", "workflow"): options("--workflow", ["nothing"], NOT_FOUND),
    ("demo", "kills"): options("--kills", ["-1", "x", ""]),
    ("demo", "seed"): options("--seed", ["x", "1.5", ""]),
    ("demo", "keep"): options("--keep", ["app.py"]),
    ("dev", "folders"): options("--watch", ["nowhere"]),
    ("run cancel", "grace"): options("--grace", DURATIONS),
    ("run export", "target"): options("--to", ["nowhere/x.json", "."]),
    ("run list", "status"): options("--status", ["done", "", "COMPLETED"]),
    ("run list", "limit"): options("--limit", ["0", "-1", "1001", "x", "1.5", ""]),
    ("run list", "cursor"): options("--cursor", ["junk", "", "-1:x", "99999999999999999999:order-1", CONTROL]),
    ("run list", "workflow"): options("--workflow", [""]),
    ("run signal", "payload"): options("--payload", ["{", "", "NaN", DEEP, "'x'"]) + options("--payload", [json.dumps("x" * 1_100_000)]),
    ("run signal", "key"): options("--key", ["", LONG, CONTROL]),
    ("run start", "run_id"): options("--id", ["", LONG, CONTROL]) + options("--id", ["order-1"], CONFLICT),
    ("run start", "given"): options("--input", ["{", "", "[]", "1", "null", '"x"', '{"x": NaN}', DEEP]),
    ("run start", "timeout"): options("--timeout", DURATIONS),
    ("run wait", "timeout"): options("--timeout", DURATIONS),
    ("worker", "processes"): options("--processes", ["0", "-1", "65", "x", ""]),
    ("worker", "on_trouble_command"): options("--on-trouble-command", ["", "no-such-program-anywhere", "'unfinished"]),
    ("worker", "on_trouble_webhook"): options("--on-trouble-webhook", ["", "ftp://example.com", "nonsense", "http://"]),
    ("worker", "kept"): options("--retention", ["completed", "running=1d", "completed=-1"]),
}
FLAGS = {("check", "no_lint"), ("check", "no_replay"), ("run start", "wait"), ("worker", "no_migrate"), ("worker", "report_runs")}
INTERNAL = {("worker", "report_to")}
"""Hidden: a supervisor gives them to its workers."""
COMMON = {"store", "namespace", "output", "quiet", "debug"}
STORES: list[tuple[str, Exit]] = [
    ("sqlite:///nowhere/store.db", UNREACHABLE),
    ("sqlite:///none.db", UNREACHABLE),
    ("sqlite:///app.py", UNREACHABLE),
    ("sqlite:///.", UNREACHABLE),
    ("sqlite://", UNREACHABLE),
    ("store.db", UNREACHABLE),
    ("postgresql://localhost/x", UNREACHABLE),
    ("mysql://localhost/x", UNREACHABLE),
    ("sqlite:///store.db?mode=ro", UNREACHABLE),
]
WITHOUT_STORE = {
    "completion",
    "demo",
    "check",
    "dev",
}  # `check` only reads code then; `dev` takes one of its own, and what its worker makes of others is in test_dev.py
MAKES_STORES = {"db migrate", "worker"}


def commands(group: click.Group = cli, path: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


def test_the_tables_of_this_file_know_every_command_and_every_option() -> None:
    known = {*ARGUMENTS, *OPTIONS, *FLAGS, *INTERNAL}
    there = {(path, str(one.name)) for path, command in commands() for one in command.params if one.name not in COMMON}
    assert known == there
    assert GOOD.keys() == dict(commands()).keys()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run that has not begun."""
    folder = tmp_path_factory.mktemp("template")
    store = ["--store", f"sqlite:///{folder / 'store.db'}", "-q"]
    assert perform(["db", "migrate", *store]) == 0
    assert perform(["run", "start", "flow", "--id", "order-1", "--input", '{"x": 1}', *store]) == 0
    return folder / "store.db"


@pytest.fixture
def place(tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A folder with the store and some files, which is the current one."""
    (tmp_path / "store.db").write_bytes(template.read_bytes())
    (tmp_path / "app.py").write_text("from perdure import workflow\n\n@workflow\nasync def flow(x: int = 0) -> int:\n    return x\n")
    (tmp_path / "broken.py").write_text("def (:\n")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "empty.py").write_text("\n")
    for module in ("app", "empty"):
        monkeypatch.delitem(sys.modules, module, raising=False)  # of the test before
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    monkeypatch.setenv("PERDURE_STORE", "sqlite:///store.db")
    capsys.readouterr()
    return tmp_path


def contents(folder: Path) -> dict[str, object]:
    """Every file by its bytes, the store by its rows; its -wal and -shm belong to it."""
    beside = {"store.db", "store.db-wal", "store.db-shm"}
    found: dict[str, object] = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in beside and "__pycache__" not in path.parts
    }
    db = apsw.Connection(str(folder / "store.db"), flags=apsw.SQLITE_OPEN_READONLY)
    for (table,) in db.execute("select name from sqlite_schema where type = 'table' order by 1").fetchall():
        found[f"table {table}"] = db.execute(f"select * from {table}").fetchall()
    db.close()
    return found


def named(case: tuple[str, list[str], Exit]) -> str:
    path, arguments, _ = case
    shown = " ".join(arguments).encode("unicode_escape").decode()
    return f"{path} {shown if len(shown) < 40 else shown[:37] + '...'}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command did. `said` is there for whoever reads a failure."""

    status: int
    shown: str  # on standard output
    complaints: int
    says_what_to_do: bool
    has_traceback: bool
    has_changed_something: bool
    said: str = field(default="", compare=False)


def answer(place: Path, capsys: pytest.CaptureFixture[str], line: list[str]) -> Answer:
    before = contents(place)
    status = perform(line)
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    complaints = [one for one in lines if one.startswith("error: ") and one != "error: "]
    # Where the user's own code cannot be imported, its traceback is shown.
    has_traceback = "Traceback" in printed.err and status != USAGE
    says_what_to_do = bool(lines) and lines[-1].startswith("  → ")
    return Answer(status, printed.out, len(complaints), says_what_to_do, has_traceback, contents(place) != before, printed.err)


def refusal(status: Exit) -> Answer:
    """One line what, one line what to do, nothing else shown and nothing changed."""
    return Answer(status, "", 1, says_what_to_do=True, has_traceback=False, has_changed_something=False)


BAD_ARGUMENTS = [(path, arguments, code) for (path, _), cases in ARGUMENTS.items() for arguments, code in cases]
BAD_OPTIONS = [(path, [*GOOD[path], *given], code) for (path, _), cases in OPTIONS.items() for given, code in cases]


@pytest.mark.parametrize("case", BAD_ARGUMENTS, ids=named)
def test_an_argument_that_makes_no_sense_is_refused_and_nothing_changes(
    place: Path, capsys: pytest.CaptureFixture[str], case: tuple[str, list[str], Exit]
) -> None:
    path, arguments, code = case
    assert answer(place, capsys, [*path.split(), *arguments]) == refusal(code)


@pytest.mark.parametrize("case", BAD_OPTIONS, ids=named)
def test_an_option_that_makes_no_sense_is_refused_and_nothing_changes(
    place: Path, capsys: pytest.CaptureFixture[str], case: tuple[str, list[str], Exit]
) -> None:
    path, arguments, code = case
    assert answer(place, capsys, [*path.split(), *arguments]) == refusal(code)


@pytest.mark.parametrize("path", GOOD)
def test_what_no_command_knows_is_refused_by_every_command(place: Path, capsys: pytest.CaptureFixture[str], path: str) -> None:
    for wrong in (["--nonsense"], ["-o", "xml"], ["-o"], ["--store"], ["--namespace"]):
        assert answer(place, capsys, [*path.split(), *GOOD[path], *wrong]) == refusal(USAGE)


@pytest.mark.parametrize("path", [path for path in GOOD if path not in WITHOUT_STORE])
def test_a_store_that_cannot_be_one_is_refused_by_every_command(place: Path, capsys: pytest.CaptureFixture[str], path: str) -> None:
    for url, code in STORES:
        if path in MAKES_STORES and url == "sqlite:///none.db":
            continue  # there it makes one
        if path == "doctor":
            assert perform([path, "--store", url]) == Exit.NOT_MET, url  # which is what it is for
            assert "wrong" in capsys.readouterr().out
        else:
            assert answer(place, capsys, [*path.split(), *GOOD[path], "--store", url]) == refusal(code)


@pytest.mark.parametrize("path", [path for path in GOOD if path not in WITHOUT_STORE])
def test_without_a_store_every_command_says_what_to_set(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.delenv("PERDURE_STORE")

    assert answer(place, capsys, [*path.split(), *GOOD[path]]) == refusal(USAGE)
