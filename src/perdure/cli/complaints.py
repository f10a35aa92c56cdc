"""Errors as the command line tells them: one line what happened, one line what to do."""

import os
import sys
from typing import TextIO

import click

from perdure import errors
from perdure.cli.exits import Exit, exit_of


class Complaint(Exception):
    """The command line's own error: what happened, what to do about it, and the exit status."""

    def __init__(self, what: str, remedy: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.code = code


_REMEDIES: tuple[tuple[type[BaseException], str], ...] = (
    (errors.RunNotFound, "`perdure run list` shows the runs of this store; --store and --namespace say where to look"),
    (errors.UnknownWorkflow, "start a worker whose APP has this workflow, or correct the name"),
    (errors.RunConflict, "choose another --id, or `perdure run show` it and see what it was started with"),
    (errors.RunEnded, "`perdure run show` says how it ended; start a new run if it must go on"),
    (errors.RunNotEnded, "`perdure run cancel` it first, and delete it when it has ended"),
    (errors.RunCancelled, "`perdure run show` says whether its clean-up went well"),
    (errors.InboxFull, "let a worker take the waiting signals first, then send this one again with the same --key"),
    (errors.StoreNotFound, "correct --store or PERDURE_STORE; `perdure worker APP` or `perdure db migrate` create a new store there"),
    (errors.NotAStore, "correct --store or PERDURE_STORE; nothing in that file was changed"),
    (errors.StoreIsReadOnly, "give this user the right to write there, or name another store"),
    (errors.SchemaTooNew, "upgrade this perdure to the version that migrated the store, or newer"),
    (errors.SchemaTooOld, "`perdure db migrate` brings it up to date; stop workers of older versions first"),
    (errors.UnsafeFileSystem, "put the file on a disk of this machine"),
    (errors.StoreUnavailable, "nothing was written; try again when the store answers"),
    (errors.StoreFailed, "look at the disk, then start the process anew"),
    (errors.BadInput, "correct the input; nothing was stored"),
    (errors.PayloadTooLarge, "store the data elsewhere and pass a reference to it"),
    (errors.EncodeError, "correct the value; nothing was stored"),
    (errors.CorruptedHistory, "compare with a backup; other runs are not touched"),
    (TimeoutError, "ask again, or give a longer --timeout"),
    (PermissionError, "run it as a user who may, or choose another place"),
    (OSError, "check the address and whether the place can be reached"),
)


def told(error: BaseException) -> tuple[str, str]:
    """What happened and what to do. The library's messages say both, with a semicolon between; here commands are named instead of calls."""
    message = str(error).strip() or type(error).__name__
    if isinstance(error, Complaint):
        return error.what, error.remedy
    if exit_of(error) is Exit.DEFECT:
        return f"{type(error).__name__}: {message}", "this is a defect in perdure: report what the command prints with --debug"
    if isinstance(error, errors.BadInput | errors.EncodeError):
        return message, _remedy_for(error, "")  # it may quote what the user gave, semicolons included
    what, _, own = message.partition("; ")
    return what, _remedy_for(error, own)


_SAY_IT_BEST = (errors.StoreIsReadOnly, errors.StoreUnavailable)
"""What helps depends on the kind of store, which says so itself."""


def _remedy_for(error: BaseException, own: str) -> str:
    known = next((remedy for kind, remedy in _REMEDIES if isinstance(error, kind)), "")
    if isinstance(error, _SAY_IT_BEST):
        return own or known
    return known or own or "repeat the command with --debug to see where it happened"


def complain(error: BaseException, *, debug: bool, to: TextIO | None = None) -> Exit:
    """Write the two lines to stderr, with the traceback before them where asked for, and give the exit status."""
    out = to or sys.stderr
    if debug:
        import traceback  # rarely needed, and the command line starts sooner without it

        out.write("".join(traceback.format_exception(error)))
    what, remedy = told(error)
    has_colours = out.isatty() and not os.environ.get("NO_COLOR")
    click.echo(f"{click.style('error:', fg='red', bold=True)} {what}", file=out, color=has_colours)
    click.echo(f"  {click.style('→', fg='yellow')} {remedy}", file=out, color=has_colours)
    return error.code if isinstance(error, Complaint) else exit_of(error)


def complain_of_usage(error: click.ClickException) -> Exit:
    """click's own errors, told the same way."""
    path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx is not None else "perdure"
    return complain(Complaint(error.format_message(), f"`{path} --help` shows what it takes, with examples"), debug=False)
