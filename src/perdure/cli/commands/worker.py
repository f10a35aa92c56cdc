"""`perdure worker APP`: a process that runs workflows until it is told to stop, or several of them under one supervisor."""

import click

from perdure.cli.complaints import Complaint
from perdure.cli.exits import Exit
from perdure.cli.inputs import retention
from perdure.cli.options import Choices, common_options, pass_choices

PROCESSES_MOST = 64


@click.command(short_help="Run the workflows of APP until told to stop.")
@click.argument("apps", metavar="APP...", nargs=-1, required=True)
@click.option("--processes", type=click.IntRange(1, PROCESSES_MOST), default=1, show_default=True, help="How many, on this machine.")
@click.option("--no-migrate", is_flag=True, help="Neither create nor migrate the store: refuse one that is missing or old.")
@click.option("--on-trouble-command", metavar="CMD", envvar="PERDURE_ON_TROUBLE_COMMAND", help="Run this once per run in trouble.")
@click.option("--on-trouble-webhook", metavar="URL", envvar="PERDURE_ON_TROUBLE_WEBHOOK", help="POST to this once per run in trouble.")
@click.option(
    "--retention",
    "kept",
    type=retention,
    metavar="STATE=TIME",
    multiple=True,
    envvar="PERDURE_RETENTION",
    help="Delete runs so long after they completed, failed or were cancelled: completed=30d. May be repeated. Default: keep them for ever.",
)
@click.option("--report-to", type=int, hidden=True)
@click.option("--report-runs", is_flag=True, hidden=True)
@common_options
@pass_choices
def worker(
    choices: Choices,
    apps: tuple[str, ...],
    processes: int,
    no_migrate: bool,
    on_trouble_command: str | None,
    on_trouble_webhook: str | None,
    kept: tuple[tuple[str, float], ...],
    report_to: int | None,
    report_runs: bool,
) -> int:
    """Run the workflows of each APP: a file.py, a package.module, or either with :name of a list of workflows behind it.

    Start as many workers on one store as you like; each run belongs to one of them at a time. A worker that dies loses
    nothing: the next one goes on from the last recorded step. With --processes one supervisor starts that many, passes
    signals on to them, and starts another for each that dies.

    SIGTERM or Ctrl-C stops it cleanly: steps under way may end (10 s), runs are handed over. A second one stops waiting
    for the steps, a third one leaves at once. All it says goes to standard error.

    A run is in trouble when it failed, was quarantined, or is stranded (due for 5 minutes, and no live worker knows its
    workflow). The command gets it as JSON on standard input, the webhook as the body of a POST: kind, run_id, workflow,
    error, at, key. Whatever ends with another status than 0 or 2xx is repeated, with the same key, for three days.

    Runs are kept for ever unless --retention says otherwise, for each way to end. They are deleted in small batches, each whole, by
    whichever worker looks first.

    \b
    Examples:
      perdure worker shop.py --store sqlite:///orders.db
      perdure worker company.flows.orders:workflows company.flows.returns
      perdure worker shop.py --processes 4
      perdure worker shop.py --retention completed=30d --retention cancelled=7d
      perdure worker shop.py --on-trouble-webhook https://example.com/hooks/perdure
      perdure worker shop.py --on-trouble-command "sh -c 'mail -s perdure ops@example.com'"

    \b
    Next:
      perdure run start NAME --input '{…}'    start a run, from another terminal
      perdure doctor                          is everything as it should be?
    """
    from perdure.cli.logs import begin_logging

    url = choices.store_url
    begin_logging(is_quiet=choices.quiet, is_debug=choices.debug)
    from perdure.cli.alarms import alarm_of

    on_trouble = alarm_of(on_trouble_command, on_trouble_webhook, choices.namespace)
    if processes > 1:
        flags = _flags(no_migrate=no_migrate, on_trouble_command=on_trouble_command, on_trouble_webhook=on_trouble_webhook, kept=kept)
        return _supervise(choices, apps, processes, flags)
    from perdure.cli.loading import load_apps

    workflows = load_apps(apps)
    from perdure.cli.reporting import Reports
    from perdure.cli.serving import serve
    from perdure.engine.service import Engine

    engine = Engine(url, workflows, namespace=choices.namespace, migrate=not no_migrate, retention=dict(kept), on_trouble=on_trouble)
    return serve(engine, url, workflows, None if report_to is None else Reports(report_to, shows_runs=report_runs))


def _flags(
    *, no_migrate: bool, on_trouble_command: str | None, on_trouble_webhook: str | None, kept: tuple[tuple[str, float], ...]
) -> list[str]:
    flags = ["--no-migrate"] if no_migrate else []
    flags += [] if on_trouble_command is None else ["--on-trouble-command", on_trouble_command]
    flags += [flag for state, length in kept for flag in ("--retention", f"{state}={length}")]
    return flags + ([] if on_trouble_webhook is None else ["--on-trouble-webhook", on_trouble_webhook])


def _supervise(choices: Choices, apps: tuple[str, ...], processes: int, flags: list[str]) -> int:
    import os

    from perdure.cli.supervising import supervise

    if choices.store_url == "sqlite:///:memory:":
        raise Complaint("several processes cannot share a store in memory", "give --store a file: sqlite:///orders.db")
    if os.name != "posix":
        raise Complaint(
            "--processes needs a POSIX system", "start several workers by yourself; they share the store all the same", Exit.USAGE
        )
    return supervise([*worker_arguments(choices, apps), *flags], processes)


def worker_arguments(choices: Choices, apps: tuple[str, ...]) -> list[str]:
    """What a worker process of the same choices is started with."""
    common = ["--store", choices.store_url, "--namespace", choices.namespace]
    flags = [*(["--quiet"] if choices.quiet else []), *(["--debug"] if choices.debug else [])]
    return [*apps, *common, *flags]
