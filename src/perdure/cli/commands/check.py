"""`perdure check APP`: would this code go on with what is running?"""

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import click

from perdure.cli.complaints import Complaint
from perdure.cli.exits import Exit
from perdure.cli.options import Choices, common_options, pass_choices

if TYPE_CHECKING:
    from perdure.cli.checking.jobs import Work
    from perdure.cli.checking.report import Report
    from perdure.cli.loading import Found


@click.command(short_help="Before a deploy: would the code of APP go on with what is running?")
@click.argument("app")
@click.argument("histories", nargs=-1, metavar="[HISTORIES]...")
@click.option("--workflow", metavar="NAME", help="Only this workflow and its runs.")
@click.option("--no-lint", is_flag=True, help="Do not read the code; only replay.")
@click.option("--no-replay", is_flag=True, help="Only read the code; do not look into the store.")
@click.option("--processes", type=click.IntRange(1, 256), help="Replay in so many processes. Default: one for each processor.")
@common_options
@pass_choices
def check(
    choices: Choices, app: str, histories: tuple[str, ...], workflow: str | None, no_lint: bool, no_replay: bool, processes: int | None
) -> int:
    """Check that the code of APP replays, and that it goes on with every unfinished run.

    First the code of its workflows is read: every clock, random number, file, connection, thread and other thing that a replay
    would not repeat is named with its line and what to use instead. Then every unfinished run of the store, and every exported
    history in HISTORIES (files of `perdure run export`, or folders of them), is replayed against it. No step runs, and the store
    is only read: production may go on meanwhile.

    Exit 1 if the code has such a line or a run would not go on. `# perdure: allow REASON` behind a line lets it pass.

    \b
    Examples:
      perdure check shop.py --store sqlite:///orders.db
      perdure check shop.py tests/histories --no-lint
      perdure check company.flows.orders:workflows -o jsonl | jq 'select(.kind == "diverges")'
    """
    from perdure.cli.checking.report import Report
    from perdure.cli.loading import load_workflows

    with contextlib.redirect_stdout(sys.stderr):  # what an import prints is not what was found
        found = _chosen(load_workflows(app), app, workflow)
    report = Report(choices)
    if not no_lint:
        _read_code(found, report)
    if not no_replay:
        work = _listed(choices, histories, found, workflow, report, may_be_nothing=not no_lint)
        setup = {"app": app, "store": _store_of(choices), "namespace": choices.namespace, "workflow": workflow}
        _replay(work, setup, processes, report)
    report.print()
    return Exit.NOT_MET if report.has_failed else Exit.OK


def _chosen(found: "list[Found]", app: str, name: str | None) -> "list[Found]":
    chosen = [one for one in found if name in (None, one.name)]
    if not chosen:
        names = ", ".join(one.name for one in found)
        raise Complaint(f"{app} has no workflow {name!r}", f"it has {names}", Exit.NOT_FOUND)
    return chosen


def _read_code(found: "list[Found]", report: "Report") -> None:
    from perdure.authoring.lint import lint
    from perdure.cli.checking.findings import Finding, Kind

    for one in lint(found):
        report.add(Finding(Kind.CODE, f"{_shown_path(one.path)}:{one.line}:{one.column}", one.text, one.workflow))


def _shown_path(path: str) -> str:
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def _store_of(choices: Choices) -> str | None:
    return choices.store or os.environ.get("PERDURE_STORE") or None


def _listed(
    choices: Choices, histories: tuple[str, ...], found: "list[Found]", workflow: str | None, report: "Report", *, may_be_nothing: bool
) -> "Work":
    """What is to be replayed: without a store and without files that is nothing, which is said, or refused where nothing else was asked."""
    from perdure.cli.checking.jobs import Work, list_files, list_runs

    work = Work()
    list_files(work, histories)
    url = _store_of(choices)
    if url is not None:
        from perdure.store.opening import open_inspection

        store = open_inspection(url, namespace=choices.namespace)
        store.check_schema()
        list_runs(work, store, {one.name for one in found}, workflow)
        report.note_store(work, store)
    elif not histories:
        if not may_be_nothing:
            _ = choices.store_url  # complains
        report.say("no store is named, so only the code was read: --store or PERDURE_STORE says whose runs to replay")
    return work


def _replay(work: "Work", setup: dict[str, str | None], processes: int | None, report: "Report") -> None:
    from perdure.cli.checking.children import Children
    from perdure.cli.checking.jobs import processes_for

    count = min(processes or processes_for(work.count), work.count)
    with contextlib.closing(Children(setup, count).replay(work.portions(count))) as answers:
        report.watch(answers, work.count)
