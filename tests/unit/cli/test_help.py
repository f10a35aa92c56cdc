"""`--help` of every command teaches, and no command loads more than it needs."""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from perdure.cli.main import cli


def commands(group: click.Group = cli, path: str = "perdure") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


ALL = dict(commands())


@pytest.mark.parametrize("path", ALL)
def test_every_command_has_one_line_for_the_list_and_every_option_a_help(path: str) -> None:
    command = ALL[path]
    unexplained = [one.name for one in command.params if isinstance(one, click.Option) and not one.hidden and not one.help]

    assert command.get_short_help_str(200)
    assert not command.get_short_help_str(200).endswith("...")
    assert not unexplained


LOADED = """
import sys
from perdure.cli.main import perform
perform({arguments!r})
print(sorted({names!r} & sys.modules.keys()), file=sys.stderr)
"""
ENGINE = {"pydantic", "pydantic_core", "perdure.engine.worker", "perdure.engine.service", "perdure.authoring.step", "perdure.codec.values"}
SLOW = {"rich", "importlib.resources", "importlib.metadata", "tempfile", "pathlib", "http.client", "email"}
HEAVY = ENGINE | SLOW
NOT_FOR_HELP = HEAVY | {"asyncio", "apsw"}


def loaded(arguments: list[str], names: set[str]) -> str:
    code = LOADED.format(arguments=arguments, names=names)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--help"],
        ["run", "list", "--help"],
        ["worker", "--help"],
        ["dev", "--help"],
        ["completion", "zsh"],
        ["run", "list", "--limit", "x"],
    ],
    ids=" ".join,
)
def test_help_completion_and_usage_errors_load_neither_asyncio_nor_a_store(arguments: list[str]) -> None:
    assert loaded(arguments, NOT_FOR_HELP - {"pathlib"}) == "[]"


def test_the_list_of_all_commands_loads_their_modules_and_nothing_below() -> None:
    assert loaded(["--help"], NOT_FOR_HELP - {"pathlib"}) == "[]"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One with a run in it."""
    url = f"sqlite:///{tmp_path_factory.mktemp('store') / 's.db'}"
    for prepared in (["db", "migrate"], ["run", "start", "flow", "--id", "a", "--input", '{"order": 17}']):
        subprocess.run([sys.executable, "-m", "perdure", *prepared, "--store", url, "-q"], check=True, timeout=60, capture_output=True)
    return url


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "pause", "a"],
        ["run", "resume", "a"],
        ["run", "list"],
        ["run", "list", "-o", "json"],
        ["run", "show", "a"],
        ["run", "history", "a"],
        ["db", "status"],
    ],
    ids=" ".join,
)
def test_commands_on_a_store_load_nothing_that_they_do_not_need(store: str, arguments: list[str]) -> None:
    assert loaded([*arguments, "--store", store], HEAVY | {"perdure.cli.commands.check", "perdure.cli.commands.demo"}) == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "start", "flow", "--id", "a", "--input", '{"order": 17}'],
        ["run", "signal", "a", "paid", "--payload", "1"],
    ],
    ids=lambda one: " ".join(one[:2]),
)
def test_commands_that_encode_values_load_of_pydantic_only_its_core(store: str, arguments: list[str]) -> None:
    assert loaded([*arguments, "--store", store], HEAVY - {"pydantic_core", "perdure.codec.values", "pathlib"}) == "[]"


def test_the_doctor_loads_no_engine(store: str) -> None:
    assert loaded(["doctor", "--store", store], ENGINE | {"rich"}) == "[]"


def test_an_export_loads_no_engine(store: str) -> None:
    assert loaded(["run", "export", "a", "--store", store], ENGINE | {"rich"}) == "[]"
