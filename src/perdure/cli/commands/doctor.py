"""`perdure doctor`: is everything as it should be, and if not, what to do."""

from typing import TYPE_CHECKING

import click

from perdure.cli.exits import Exit
from perdure.cli.options import Choices, common_options, pass_choices
from perdure.cli.output import has_colours, json_text, shown, shown_url

if TYPE_CHECKING:
    from perdure.model.findings import Finding

_COLOURS = {"ok": "green", "note": "yellow", "wrong": "red"}


@click.command(short_help="Say what is wrong with clock, store, workers and runs, and what to do.")
@common_options
@pass_choices
def doctor(choices: Choices) -> int:
    """Examine this machine's clock, the store, its workers and its runs; say what is wrong and what to do about it.

    Looks at: versions; the clock; durability settings, file system, free disk and rights; the schema; workers that live or
    died; runs that are quarantined, stranded, or of a workflow that no live worker knows. Changes nothing and may run
    beside production. It looks at every unfinished run: seconds for a million.

    Exit 1 when something is wrong. Notes are no error.

    \b
    Examples:
      perdure doctor --store sqlite:///orders.db
      perdure doctor -q                                             only what is wrong
      perdure doctor -o json | jq '.findings[] | select(.level == "wrong")'
    """
    url = choices.store_url
    import asyncio

    from perdure.cli.examining import examine
    from perdure.model.findings import Level

    findings = asyncio.run(examine(url, choices.namespace))
    is_well = all(one.level is not Level.WRONG for one in findings)
    if choices.wants_json:
        documents = [{"subject": one.subject, "level": one.level.value, "what": one.what, "remedy": one.remedy or None} for one in findings]
        click.echo(json_text({"ok": is_well, "store": shown_url(url), "findings": documents}))
    else:
        for one in findings:
            if one.level is Level.WRONG or not choices.quiet:
                _print(one)
    return Exit.OK if is_well else Exit.NOT_MET


def _print(one: "Finding") -> None:
    level = click.style(f"{one.level.value:<5}", fg=_COLOURS[one.level.value], bold=one.level.value == "wrong")
    click.echo(f"{level}  {one.subject:<15}  {shown(one.what)}", color=has_colours())
    if one.remedy:
        click.echo(f"{'':5}  {'':15}  → {shown(one.remedy)}", color=has_colours())
