"""`perdure run …`: start runs, look at them, answer them, wait for them."""

from typing import TYPE_CHECKING, Any

import click

from perdure.cli.commands.run_documents import record_document, run_document, status_document, summary_document
from perdure.cli.complaints import complain
from perdure.cli.connecting import with_client
from perdure.cli.exits import Exit
from perdure.cli.groups import LazyGroup
from perdure.cli.inputs import json_object, json_value, seconds
from perdure.cli.options import Choices, common_options, pass_choices
from perdure.cli.output import json_text, print_list, print_one
from perdure.cli.suggesting import run_ids, workflow_names

if TYPE_CHECKING:
    from perdure.client import Client
    from perdure.run import Page, RunRecord, RunStatus

_STATES = ["pending", "running", "waiting", "paused", "quarantined", "completed", "failed", "cancelled"]
_timeout = click.option(
    "--timeout", type=seconds, metavar="DURATION", help="Stop waiting after this long (90, 30s, 5m, 2h): exit 124; the run goes on."
)


_LATER = {name: f"perdure.cli.commands.run_orders:{name}" for name in ("cancel", "pause", "resume", "retry", "delete")}


@click.group(cls=LazyGroup, later=_LATER | {"export": "perdure.cli.commands.run_export:export"})
@common_options
def run() -> None:
    """Start runs, list and show them, signal them, wait for them; cancel, pause, resume, retry and delete them."""


@run.command()
@click.argument("name", shell_complete=workflow_names)
@click.option("--id", "run_id", metavar="ID", help="Your name for it, e.g. the order's number: starting twice is then starting once.")
@click.option("--input", "given", metavar="JSON", help="Arguments by parameter name, as a JSON object; - reads standard input.")
@click.option("--wait", is_flag=True, help="Wait for its end and print the result; exit 1 if it fails.")
@_timeout
@common_options
@pass_choices
def start(choices: Choices, name: str, run_id: str | None, given: str | None, wait: bool, timeout: float | None) -> int:
    """Start a run of the workflow NAME.

    It is on disk when this returns, and begins as soon as a worker that knows NAME has room. The same --id with the same
    input is the same run, so a start may be repeated safely; with other input it is refused (exit 4).

    \b
    Examples:
      perdure run start fulfil --id order-17 --input '{"order": {"id": 17, "amount": "12.50"}}'
      perdure run start report --wait --timeout 5m -o json
      perdure run start import_file --input - < arguments.json
    """
    arguments = json_object(given, "--input")

    async def started(client: "Client") -> int:
        handle = await client.start_input(name, arguments, id=run_id)
        if wait:
            return await _print_end(choices, client, handle.id, timeout)
        status = await handle.status()
        if choices.quiet:
            click.echo(handle.id)
        else:
            print_one(choices, status_document(status), names=["id", "workflow", "status"])
        return Exit.OK

    return with_client(choices, started)


@run.command("list")
@click.option("--workflow", metavar="NAME", shell_complete=workflow_names, help="Only runs of this workflow.")
@click.option("--status", type=click.Choice(_STATES), help="Only runs in this state.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many at most.")
@click.option("--cursor", help="Go on where the page before ended: the cursor it gave.")
@common_options
@pass_choices
def list_runs(choices: Choices, workflow: str | None, status: str | None, limit: int, cursor: str | None) -> None:
    """List runs, newest first.

    \b
    Examples:
      perdure run list --status failed
      perdure run list --workflow fulfil --limit 1000 -o jsonl | jq -r .id
      perdure run list -q --status quarantined
    """

    async def listed(client: "Client") -> "Page":
        return await client.runs(workflow=workflow, status=status, limit=limit, cursor=cursor)

    page = with_client(choices, listed)
    if choices.quiet:
        for one in page.runs:
            click.echo(one.id)
    else:
        documents = [summary_document(one) for one in page.runs]
        columns = ["id", "workflow", "status", "started_at", "ended_at", "note"]
        print_list(choices, columns, documents, whole={"runs": documents, "cursor": page.cursor})
    if page.cursor is not None and not choices.wants_json:
        click.echo(f"more: --cursor {page.cursor}", err=True)


@run.command()
@click.argument("run_id", metavar="ID", shell_complete=run_ids)
@common_options
@pass_choices
def show(choices: Choices, run_id: str) -> None:
    """Show one run: its state, what it waits for, its input and its result or error.

    \b
    Examples:
      perdure run show order-17
      perdure run show order-17 -o json | jq .waiting_for
    """

    async def described(client: "Client") -> dict[str, Any]:
        return await run_document(client, run_id)

    document = with_client(choices, described)
    if choices.quiet:
        click.echo(document["id"])
    else:
        print_one(choices, document)


@run.command()
@click.argument("run_id", metavar="ID", shell_complete=run_ids)
@common_options
@pass_choices
def history(choices: Choices, run_id: str) -> None:
    """Show everything that is recorded about one run, in order.

    A run that continued as new or was retried shows the generation of each record; the one before the last is kept too.

    \b
    Examples:
      perdure run history order-17
      perdure run history order-17 -o jsonl | jq 'select(.kind == "step") | [.name, .attempt, .output]'
    """

    async def read(client: "Client") -> "list[RunRecord]":
        return await client.run(run_id).history()

    documents = [record_document(one) for one in with_client(choices, read)]
    if choices.wants_json:
        print_list(choices, [], documents)
    elif choices.quiet:
        for document in documents:
            click.echo(document["position"])
    else:
        for document in documents:
            error = document["error"]
            document["value"] = f"{error['type']}: {error['message']}" if error else _first_of(document, "output", "input")
            document["attempt"] = document["attempt"] or None
        columns = ["position", "at", "kind", "name", "attempt", "value"]
        print_list(choices, ["generation", *columns] if any(document["generation"] for document in documents) else columns, documents)


def _first_of(document: dict[str, Any], *names: str) -> Any:
    return next((document[name] for name in names if document[name] is not None), None)


@run.command()
@click.argument("run_id", metavar="ID", shell_complete=run_ids)
@click.argument("topic")
@click.option("--payload", metavar="JSON", help="What to send; - reads standard input. Default: null.")
@click.option("--key", help="Names this message: sent again with the same key it arrives once.")
@common_options
@pass_choices
def signal(choices: Choices, run_id: str, topic: str, payload: str | None, key: str | None) -> None:
    """Send a message to one run, by topic: what `receive(TOPIC)` in its workflow waits for.

    It is on disk when this returns, also if the run is not waiting yet or no worker is alive. Give a --key whenever the
    sender may repeat itself.

    \b
    Examples:
      perdure run signal order-17 paid --payload '{"amount": "12.50"}' --key payment-9931
      perdure run signal order-17 cancelled
    """
    value = json_value(payload, "--payload")

    async def sent(client: "Client") -> None:
        await client.run(run_id).signal(topic, value, key=key)

    with_client(choices, sent)
    if choices.quiet:
        click.echo(run_id)
    else:
        print_one(choices, {"id": run_id, "topic": topic, "key": key})


@run.command()
@click.argument("run_id", metavar="ID", shell_complete=run_ids)
@_timeout
@common_options
@pass_choices
def wait(choices: Choices, run_id: str, timeout: float | None) -> int:
    """Wait for the end of a run and print its result.

    Exit 0 if it completed, 1 if it failed or was cancelled, 124 if --timeout passed first.

    \b
    Examples:
      perdure run wait order-17 --timeout 10m
      perdure run wait order-17 -o json | jq .result
    """

    async def waited(client: "Client") -> int:
        return await _print_end(choices, client, run_id, timeout)

    return with_client(choices, waited)


async def _print_end(choices: Choices, client: "Client", run_id: str, timeout: float | None) -> int:
    from perdure.errors import RunCancelled, RunFailed

    _say_if_stuck(await client.run(run_id).status())
    result, failure = None, None
    try:
        result = await client.run(run_id).result(timeout)
    except (RunFailed, RunCancelled) as error:
        failure = error  # told below, after what goes to standard output
    except TimeoutError as error:
        await _explain_timeout(client, run_id, error)
        raise
    if choices.wants_json:
        print_one(choices, await run_document(client, run_id))
    elif choices.quiet:
        click.echo(run_id)
    elif failure is None:
        click.echo(json_text(result))
    return Exit.OK if failure is None else complain(failure, debug=choices.debug)


async def _explain_timeout(client: "Client", run_id: str, error: TimeoutError) -> None:
    """Say what the run stands at, in the error itself."""
    status = await client.run(run_id).status()
    waits = "; ".join(str(one["text"]) for one in status.waiting_for)
    error.args = (f"{error} (it is {status.state}{', waiting for ' + waits if waits else ''})",)


def _say_if_stuck(status: "RunStatus") -> None:
    if status.state == "quarantined":
        reason = f": {status.error['type']}: {status.error['message']}" if status.error else ""
        click.echo(f"note: run {status.id} is quarantined and waits to be resumed after a fix{reason}", err=True)
