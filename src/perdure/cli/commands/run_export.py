"""`perdure run export`: one run as a file, to be replayed elsewhere."""

from pathlib import Path

import click

from perdure.cli.complaints import Complaint
from perdure.cli.options import Choices, common_options, pass_choices


@click.command()
@click.argument("run_id", metavar="ID")
@click.option("--to", "target", type=click.Path(path_type=Path), metavar="FILE", help="Write it there. Default: standard output.")
@common_options
@pass_choices
def export(choices: Choices, run_id: str, target: Path | None) -> None:
    """Export one run: its input, its records and what is under way, as one JSON file.

    `perdure check APP FILE…` replays it against your code, on any machine, for as long as you keep it. The store is only read. The
    file holds everything the run was given and has seen, and its random seed: treat it like the store.

    \b
    Examples:
      perdure run export order-17 --to histories/order-17.json
      perdure run export order-17 | jq '.records[].name'
    """
    content = exported(choices, run_id)
    if target is None:
        click.echo(content, nl=False)
        return
    try:
        target.write_bytes(content)
    except OSError as error:
        raise Complaint(f"{target} cannot be written: {error.strerror}", "choose another --to, or make its folder first") from error
    if not choices.quiet:
        click.echo(f"{target}: {len(content):,} bytes", err=True)


def exported(choices: Choices, run_id: str) -> bytes:
    """Raises RunNotFound, CorruptedHistory, and what opening a store raises."""
    url = choices.store_url
    from perdure.codec.exports import write_export  # here, so that --help does not wait for it
    from perdure.errors import CorruptedHistory, RunNotFound
    from perdure.model.histories import history_of
    from perdure.names import checked_text
    from perdure.store.opening import open_inspection

    store = open_inspection(url, namespace=choices.namespace)
    store.check_schema()
    loaded = store.load([checked_text(run_id, "id")]).get(run_id)
    if loaded is None:
        raise RunNotFound(f"no run {run_id!r} in namespace {choices.namespace!r}")
    if loaded.damage is not None:
        raise CorruptedHistory(loaded.damage)
    return write_export(history_of(loaded.row, loaded.records, loaded.attempts))
