"""`--help` of every command teaches, and no command loads more than it needs."""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from perdure.cli.main import cli


def commands(group: click.Group = cli, path: str = "perdure") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
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
HEAVY = {"pydantic", "perdure.engine.worker", "rich"}
NOT_FOR_HELP = HEAVY | {"asyncio", "apsw", "pydantic_core"}


def loaded(arguments: list[str], names: set[str]) -> str:
    code = LOADED.format(arguments=arguments, names=names)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "list", "--help"],
        ["worker", "--help"],
        ["dev", "--help"],
        ["completion", "zsh"],
        ["run", "list", "--limit", "x"],
    ],
    ids=" ".join,
)
def test_help_completion_and_usage_errors_load_neither_asyncio_nor_a_store(arguments: list[str]) -> None:
    assert loaded(arguments, NOT_FOR_HELP) == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "start", "flow", "--id", "a", "--input", '{"order": 17}'],
        ["run", "signal", "a", "paid", "--payload", "1"],
    ],
    ids=lambda one: " ".join(one[:2]),
)
def test_commands_that_write_the_store_load_neither_pydantic_nor_the_engine(
    tmp_path_factory: pytest.TempPathFactory, arguments: list[str]
) -> None:
    store = f"sqlite:///{tmp_path_factory.mktemp('store') / 's.db'}"
    for prepared in (["db", "migrate"], ["run", "start", "flow", "--id", "a", "--input", '{"order": 17}']):
        subprocess.run([sys.executable, "-m", "perdure", *prepared, "--store", store, "-q"], check=True, timeout=60, capture_output=True)

    assert loaded([*arguments, "--store", store], HEAVY) == "[]"
