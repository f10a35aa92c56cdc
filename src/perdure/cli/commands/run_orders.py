"""`perdure run cancel|pause|resume|retry|delete`: stop, hold, repair and remove runs, one or many."""

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from perdure.cli.complaints import Complaint, complain
from perdure.cli.connecting import with_client
from perdure.cli.exits import Exit
from perdure.cli.inputs import seconds
from perdure.cli.options import Choices, common_options, pass_choices
from perdure.cli.output import print_list, print_one

if TYPE_CHECKING:
    from perdure.client import Client
    from perdure.run import Run

_ids = click.argument("run_ids", metavar="ID...", nargs=-1, required=True)
DELETED = "deleted"


@click.command()
@_ids
@click.option("--grace", type=seconds, metavar="DURATION", help="How long its code may clean up (90, 30s, 5m, 2h).  [default: 5m]")
@common_options
@pass_choices
def cancel(choices: Choices, run_ids: tuple[str, ...], grace: float | None) -> int:
    """Cancel runs: each may clean up, then it ends cancelled.

    Its code gets CancelledError once, where it waits; what it does in `finally` is recorded like everything else, until --grace is
    over. It is on disk when this returns, and the run ends cancelled whatever its code does. One that has not begun, or is
    quarantined, ends at once without running code. A repeat changes nothing; exit 4 if it has completed or failed.

    \b
    Examples:
      perdure run cancel order-17
      perdure run cancel order-17 order-18 --grace 30s
      perdure run list -q --workflow report --status waiting | perdure run cancel -
    """
    return _for_each(choices, run_ids, lambda run: run.cancel(grace=grace))


@click.command()
@_ids
@common_options
@pass_choices
def pause(choices: Choices, run_ids: tuple[str, ...]) -> int:
    """Pause runs: nothing of them begins until they are resumed.

    No step and no timer begins; signals are kept. Steps that are under way end and are recorded first: until then the run is shown as
    running. A repeat changes nothing; exit 4 if a run has ended, is being cancelled or is quarantined.

    \b
    Examples:
      perdure run pause order-17
      perdure run list -q --workflow charge_customers --status waiting | perdure run pause -
    """
    return _for_each(choices, run_ids, lambda run: run.pause())


@click.command()
@_ids
@common_options
@pass_choices
def resume(choices: Choices, run_ids: tuple[str, ...]) -> int:
    """Let paused runs go on, or quarantined ones after a fix.

    A run that is neither stays as it is; exit 4 if it has ended. What quarantined it is in `perdure run show`.

    \b
    Examples:
      perdure run resume order-17
      perdure run list -q --status quarantined | perdure run resume -
    """
    return _for_each(choices, run_ids, lambda run: run.resume())


@click.command()
@_ids
@common_options
@pass_choices
def retry(choices: Choices, run_ids: tuple[str, ...]) -> int:
    """Let failed runs go on from where they failed.

    Everything recorded before stands. The step that failed is tried anew, with the same idempotency key and all its attempts; where
    the code itself had a bug, the fixed code goes on. Exit 4 if a run has not failed, or its code has asked for more after the
    failure (clean-up, compensations): start a new run then.

    \b
    Examples:
      perdure run retry order-17
      perdure run list -q --status failed --workflow fulfil | perdure run retry -
    """
    return _for_each(choices, run_ids, lambda run: run.retry())


@click.command()
@_ids
@common_options
@pass_choices
def delete(choices: Choices, run_ids: tuple[str, ...]) -> int:
    """Delete runs that have ended, with their history, input and result.

    All of a run goes, or, after a crash, nothing of it; its id is free then. Exit 4 if it has not ended: cancel it first. Workers
    delete old runs by themselves if they are told to: `perdure worker --retention completed=30d`.

    \b
    Examples:
      perdure run delete order-17
      perdure run list -q --status cancelled | perdure run delete -
    """

    async def deleted(run: "Run") -> str:
        await run.delete()
        return DELETED

    return _for_each(choices, run_ids, deleted)


def _for_each(choices: Choices, run_ids: tuple[str, ...], order: "Callable[[Run], Awaitable[str | None]]") -> int:
    """One that is refused does not keep the others from being done; the exit status is that of the first refused."""
    wanted = _ids_of(run_ids)

    async def ordered(client: "Client") -> tuple[list[dict[str, Any]], list[Exception]]:
        from perdure.errors import PerdureError, StoreError

        done: list[dict[str, Any]] = []
        refused: list[Exception] = []
        for run_id in wanted:
            run = client.run(run_id)
            try:
                status = await order(run) or (await run.status()).state
                done.append({"id": run_id, "status": status})
            except StoreError:
                raise  # it concerns all of them
            except PerdureError as error:
                refused.append(error)
        return done, refused

    done, refused = with_client(choices, ordered)
    _print(choices, done, is_one=len(wanted) == 1)
    codes = [complain(error, debug=choices.debug) for error in refused]
    return codes[0] if codes else Exit.OK


def _ids_of(given: tuple[str, ...]) -> list[str]:
    """As given, each once; `-` stands for those on standard input, one a line."""
    ids = [one for run_id in given for one in (sys.stdin.read().split("\n") if run_id == "-" else [run_id])]
    found = list(dict.fromkeys(one.strip() for one in ids if one.strip()))
    if not found and "-" not in given:
        raise Complaint("no run is named", "give the ids of runs, or - to read them from standard input")
    return found


def _print(choices: Choices, done: list[dict[str, Any]], *, is_one: bool) -> None:
    if choices.quiet:
        for one in done:
            click.echo(one["id"])
    elif is_one and done:
        print_one(choices, done[0])
    elif not is_one:
        print_list(choices, ["id", "status"], done)
