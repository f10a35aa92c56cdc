"""How the command line ends, what its help teaches, and where options may stand."""

import os
import subprocess
import sys

import click
import pytest

from perdure.cli.exits import MEANINGS, Exit
from perdure.cli.main import cli, perform


def commands(group: click.Group, path: str = "") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        one = group.get_command(context, name)
        assert one is not None
        found[f"{path}{name}"] = one
        if isinstance(one, click.Group):
            found |= commands(one, f"{path}{name} ")
    return found


def test_help_lists_every_exit_status_with_its_meaning(capsys) -> None:
    assert perform(["--help"]) == 0

    text = capsys.readouterr().out
    for code, meaning in MEANINGS.items():
        assert f"  {code.value:<5}{meaning}" in text


@pytest.mark.parametrize("path", sorted(path for path, one in commands(cli).items() if not isinstance(one, click.Group)))
def test_each_command_teaches_with_examples_that_name_it(path: str, capsys) -> None:
    assert perform([*path.split(), "--help"]) == 0

    text = capsys.readouterr().out
    assert "Example" in text
    assert f"perdure {path}" in text.partition("Example")[2]


@pytest.mark.parametrize(
    "arguments",
    ["", "run", "nonsense", "run lst", "run list --nonsense", "run list --limit 0", "run show", "-o xml db"],
)
def test_what_is_not_understood_is_a_usage_error_on_standard_error(arguments: str, capsys) -> None:
    assert perform(arguments.split()) == Exit.USAGE

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err


def test_a_usage_error_says_where_the_help_is(capsys) -> None:
    perform(["run", "show"])

    assert "`perdure run show --help`" in capsys.readouterr().err


def test_without_a_store_it_says_what_to_set(capsys) -> None:
    assert perform(["run", "list"]) == Exit.USAGE

    assert capsys.readouterr().err.splitlines() == [
        "error: no store is named",
        "  → give --store sqlite:///orders.db, or set it for this shell: export PERDURE_STORE=sqlite:///orders.db",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--store", "sqlite:///none.db", "run", "list"],
        ["run", "--store", "sqlite:///none.db", "list"],
        ["run", "list", "--store", "sqlite:///none.db"],
    ],
    ids=["first", "between", "last"],
)
def test_common_options_may_stand_before_or_after_a_command(arguments: list[str], tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)

    assert perform(arguments) == Exit.UNREACHABLE
    assert str(tmp_path / "none.db") in capsys.readouterr().err


def test_the_option_nearest_to_the_end_wins_and_the_environment_comes_last(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERDURE_STORE", "sqlite:///environment.db")

    perform(["--store", "sqlite:///first.db", "run", "list", "--store", "sqlite:///last.db"])
    assert "last.db" in capsys.readouterr().err
    perform(["--store", "sqlite:///first.db", "run", "list"])
    assert "first.db" in capsys.readouterr().err
    perform(["run", "list"])
    assert "environment.db" in capsys.readouterr().err


def test_debug_shows_the_traceback(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    perform(["run", "list", "--store", "sqlite:///none.db", "--debug"])

    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("store", ["orders.db", "mysql://host/db", "sqlite://orders.db", "sqlite:///"])
def test_an_address_of_no_store_is_refused_with_the_forms_that_are(store: str, capsys) -> None:
    assert perform(["run", "list", "--store", store]) == Exit.UNREACHABLE

    assert "sqlite:///" in capsys.readouterr().err


def test_nobody_reading_the_output_ends_it_quietly(tmp_path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        ended = subprocess.run([sys.executable, "-m", "perdure", "run", "--help"], stdout=gone, stderr=subprocess.PIPE, check=False)

    assert (ended.returncode, ended.stderr) == (Exit.BROKEN_PIPE, b"")
