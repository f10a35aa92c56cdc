"""The command line as a page shows it, from what click knows of it."""

from collections.abc import Iterator
from inspect import cleandoc

import click

from perdure.cli.exits import MEANINGS
from perdure.cli.main import cli


def commands() -> str:
    """Every command with what it says of itself, its arguments and its options."""
    return "\n".join(line for path, command in walk(cli, "perdure") for line in _described(path, command))


def common() -> str:
    """The options that every command takes."""
    return "\n".join(_options(cli))


def exit_codes() -> str:
    return "\n".join(["| status | means |", "|---|---|", *(f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items())])


def walk(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    for name in sorted(group.commands):
        command = group.commands[name]
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from walk(command, f"{path} {name}")


def _described(path: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    yield f"## {path}" if path.count(" ") == 1 else f"### {path}"
    yield ""
    yield from ["```text", " ".join([path, *command.collect_usage_pieces(context)]), "```", ""]
    yield from _help(command.help or "")
    if not isinstance(command, click.Group):
        yield from _options(command, besides=_names(cli))
    yield ""


def _help(text: str) -> Iterator[str]:
    r"""Paragraphs as they are; what `\b` keeps from being wrapped, as it stands."""
    for paragraph in cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b\n"):
            title, *rest = paragraph.removeprefix("\b\n").splitlines()
            yield from [
                title,
                "",
                "```sh" if title.startswith("Example") else "```text",
                *(line.removeprefix("  ") for line in rest),
                "```",
                "",
            ]
        else:
            yield from [paragraph, ""]


def _options(command: click.Command, besides: frozenset[str] = frozenset()) -> Iterator[str]:
    context = click.Context(command)
    shown = [one for one in command.params if isinstance(one, click.Option) and not one.hidden and one.name not in besides]
    records = [record for one in shown if (record := one.get_help_record(context)) is not None]
    if records:
        yield from ["| option | |", "|---|---|"]
        yield from (f"| `{left.replace('|', chr(92) + '|')}` | {right.replace('|', chr(92) + '|')} |" for left, right in records)
        yield ""


def _names(command: click.Command) -> frozenset[str]:
    return frozenset(one.name for one in command.params if one.name is not None)
