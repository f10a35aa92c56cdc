"""`perdure demo`."""

import click

from perdure.cli.options import common_options


@click.command(short_help="See it work: a worker killed again and again, every order placed exactly once.")
@click.option("--seed", type=int, help="Repeat the decisions and the moments of an earlier demo.")
@click.option("--kills", type=click.IntRange(1, 12), default=6, show_default=True, help="How often the worker is killed.")
@click.option("--keep", type=click.Path(file_okay=False), metavar="DIR", help="Keep the store and the ledgers in this new or empty folder.")
@common_options
def demo(seed: int | None, kills: int, keep: str | None) -> int:
    """See it work: 50 purchase requests, a worker killed with SIGKILL again and again, every order placed exactly once.

    Takes under 30 seconds. A separate process plays the company's order system: slow, and it answers 30 % of the calls
    with 503. In the end its own ledger is compared with the histories; exit 1 if any promise was broken.

    \b
    Examples:
      perdure demo
      perdure demo --seed 7 --kills 12
      perdure demo --keep kept && perdure run list --store sqlite:///kept/purchasing.db
    """
    from perdure.demo.supervisor import perform  # here, so that other commands do not wait for it

    return perform(seed=seed, kills=kills, keep=keep)
