"""`perdure db …`: the store's own tables."""

from typing import TYPE_CHECKING

import click

from perdure.cli.complaints import complain
from perdure.cli.exits import Exit
from perdure.cli.options import Choices, common_options, pass_choices
from perdure.cli.output import print_one, shown_url

if TYPE_CHECKING:
    from perdure.store.protocol import SchemaStatus


@click.group()
@common_options
def db() -> None:
    """Create the store, bring it up to date, see where it stands, copy it."""


@db.command()
@common_options
@pass_choices
def migrate(choices: Choices) -> None:
    """Create the store if there is none, and apply the migrations it lacks.

    Repeating it does nothing. `perdure worker` does it by itself unless told --no-migrate.

    \b
    Example:
      perdure db migrate --store sqlite:///orders.db
    """
    print_status(choices, _schema(choices, create=True, migrate=True))


@db.command()
@common_options
@pass_choices
def status(choices: Choices) -> int:
    """Show the version of the store's schema. Exit 1 if migrations are pending.

    \b
    Example:
      perdure db status -o json
    """
    from perdure.errors import SchemaTooOld
    from perdure.store.protocol import SchemaStatus

    try:
        print_status(choices, _schema(choices, create=False, migrate=False))
    except SchemaTooOld as error:
        print_status(choices, SchemaStatus(error.version, error.version + len(error.pending), error.pending))
        complain(error, debug=choices.debug)
        return Exit.NOT_MET  # the store can be reached; it is the check that does not hold
    return Exit.OK


@db.command()
@click.argument("target", metavar="FILE", type=click.Path(dir_okay=False))
@common_options
@pass_choices
def backup(choices: Choices, target: str) -> None:
    """Copy the store into a new FILE while workers go on.

    Everything that was acknowledged before this was called is in it. It is complete, checked and on disk once FILE is
    there; an existing FILE is never written over. To restore: stop all workers, put FILE in the store's place (without
    the -wal, -shm and -locks beside the old one), start the workers.

    \b
    Examples:
      perdure db backup orders-$(date +%F).db --store sqlite:///orders.db
      perdure run list --store sqlite:///orders-2026-11-22.db         look into it
    """
    url = choices.store_url
    from perdure.store.opening import back_up_store

    size = back_up_store(url, target)
    if choices.quiet:
        click.echo(target)
    else:
        print_one(choices, {"store": shown_url(url), "backup": target, "bytes": size})


def print_status(choices: Choices, found: "SchemaStatus") -> None:
    document = {"store": shown_url(choices.store_url), "version": found.version, "newest": found.newest, "pending": list(found.pending)}
    print_one(choices, document)


def _schema(choices: Choices, *, create: bool, migrate: bool) -> "SchemaStatus":
    url = choices.store_url
    import asyncio

    from perdure.store.opening import open_store  # here, so that --help does not wait for it

    async def opened() -> "SchemaStatus":
        store = open_store(url, namespace=choices.namespace)
        try:
            await store.open(create=create, migrate=migrate)
            return await store.schema()
        finally:
            await store.close()

    return asyncio.run(opened())
