"""The command `perdure`: its groups, its help, and how it ends."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from perdure.cli.complaints import complain, complain_of_usage
from perdure.cli.exits import MEANINGS, Exit
from perdure.cli.groups import LazyGroup
from perdure.cli.options import COMPLETION_VARIABLE, Choices, common_options

_NAMES = ("dev", "worker", "check", "run", "db", "doctor", "demo", "completion")
_COMMANDS = {name: f"perdure.cli.commands.{name}:{name}" for name in _NAMES}

_EXAMPLES = """\b
First steps:
  perdure demo                                      see it work: a worker killed again and again, nothing lost
  export PERDURE_STORE=sqlite:///orders.db          where the runs are
  perdure worker shop.py                            run the workflows of shop.py (creates the store)
  perdure run start fulfil --input '{"order": 17}'  start one, from another terminal
  perdure run list                                  see all of them
"""

_EXIT_CODES = "\b\nExit status:\n" + "\n".join(f"  {code.value:<5}{meaning}" for code, meaning in MEANINGS.items())


class Main(LazyGroup):
    """The top of the command line: examples before, exit codes after what click writes."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_help_text(ctx, formatter)
        _verbatim(formatter, _EXAMPLES)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the signature is given by click
        _verbatim(formatter, _EXIT_CODES)


def _verbatim(formatter: click.HelpFormatter, text: str) -> None:
    formatter.write_paragraph()
    formatter.write("".join(f"{line}\n" for line in text.splitlines() if line != "\b"))


def _print_version(context: click.Context, _parameter: click.Parameter, is_asked: bool) -> None:
    if not is_asked or context.resilient_parsing:
        return
    from importlib.metadata import version  # slow, and for this option only

    click.echo(f"perdure {version('perdure')}")
    context.exit()


@click.group(cls=Main, later=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version.")
@common_options
def cli() -> None:
    """Durable workflows: ordinary async functions that survive the process they run in."""


def perform(arguments: Sequence[str]) -> int:
    """Carry out one command line; the exit status."""
    choices = Choices()
    try:
        with cli.make_context("perdure", list(arguments), obj=choices) as context:
            outcome = cli.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as asked:
        return asked.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return Exit.USAGE
    except click.ClickException as error:
        return complain_of_usage(error)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return Exit.BROKEN_PIPE
    except Exception as error:
        return complain(error, debug=choices.debug)
    return outcome if isinstance(outcome, int) else Exit.OK


def _forget_stdout() -> None:
    """Whoever read our output has gone: the interpreter must not complain about it once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> NoReturn:
    """What the installed command calls."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter is no reason to fail
    if COMPLETION_VARIABLE in os.environ:
        cli.main(prog_name="perdure")  # a shell asks how a word may go on
    sys.exit(perform(sys.argv[1:]))
