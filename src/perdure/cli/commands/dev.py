"""`perdure dev APP`: a worker for the time of writing."""

import os

import click

from perdure.cli.options import Choices, common_options, pass_choices

_STORE = "sqlite:///perdure-dev.db"


@click.command(short_help="Run APP, start anew when its code changes, and watch what runs.")
@click.argument("apps", metavar="APP...", nargs=-1, required=True)
@click.option("--watch", "folders", metavar="DIR", multiple=True, type=click.Path(exists=True), help="Another folder whose code counts.")
@common_options
@pass_choices
def dev(choices: Choices, apps: tuple[str, ...], folders: tuple[str, ...]) -> int:
    """Run the workflows of each APP (file.py, package.module, either with :list behind it) while you write them.

    When a .py file beside them changes, the runs are handed over to a new worker with the new code and go on where they
    were. Code with a mistake in it is shown, and the worker keeps what it has until you save again; an APP that cannot be
    imported, or is not there yet, is waited for. A run that no longer fits its history is quarantined with the
    difference: change the code back, then `perdure run resume ID`.

    Shows, as it happens, runs by state, what each waits for, steps under way, retries and errors: a table on a terminal
    (with perdure[cli] installed), else a line for each change. Without a store it uses ./perdure-dev.db.

    \b
    Examples:
      perdure dev shop.py
      perdure dev company.flows.orders --watch ../shared --store sqlite:///orders.db

    \b
    Next:
      perdure run start NAME --input '{…}' --store sqlite:///perdure-dev.db     from another terminal
    """
    from perdure.cli.commands.worker import worker_arguments
    from perdure.cli.developing import develop
    from perdure.cli.live_view import new_view
    from perdure.cli.watching import folders_of

    if not choices.store and not os.environ.get("PERDURE_STORE"):
        choices.store = _STORE
        click.echo(f"no store is named: using {_STORE}; in other terminals: export PERDURE_STORE={_STORE}", err=True)
    return develop(worker_arguments(choices, apps), folders_of(apps, folders), new_view())
