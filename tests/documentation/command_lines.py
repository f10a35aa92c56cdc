"""The command lines of perdure that stand in the documentation, and whether perdure would understand them."""

import re
import shlex
from collections.abc import Iterator

import click

from perdure.cli.main import cli
from perdure.cli.options import Choices
from tests.tidy.markdown import FENCE
from tests.tidy.project import text_files

SHELL = {"sh", "bash", "console", "ini", ""}
INVOCATION = re.compile(r"(?:^|[|&;(]\s*|bin/)(perdure (?!:).*)$")

SUBSTITUTION = re.compile(r"\$\([^)]*\)")


def command_lines() -> Iterator[tuple[str, str]]:
    """Each with the place where it stands."""
    for name, text in text_files(".md"):
        for fence in FENCE.finditer(text):
            if (fence["language"].split() or [""])[0] in SHELL:
                for line in fence["code"].splitlines():
                    match = INVOCATION.search(line.strip())
                    if match is not None and "·" not in line:
                        yield name, match[1]


def complaint(line: str) -> str:
    """Why the first command of this line would be refused before it does anything; empty if it would not."""
    words = list(_first(SUBSTITUTION.sub("something", line)))
    context: click.Context | None = None
    command: click.Command = cli
    arguments = words[1:]
    try:
        while True:
            context = command.make_context(command.name or "perdure", list(arguments), parent=context, obj=Choices())
            if not isinstance(command, click.Group):
                return ""
            _, found, arguments = command.resolve_command(context, [*context._protected_args, *context.args])
            if found is None:
                return "no such command"
            command = found
    except click.exceptions.Exit:
        return ""  # --help, --version
    except click.ClickException as error:
        return error.format_message()


def _first(line: str) -> Iterator[str]:
    """Its words up to a pipe, a redirection or a comment."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    for word in lexer:
        if word[0] in "|&;<>)":
            return
        yield word
