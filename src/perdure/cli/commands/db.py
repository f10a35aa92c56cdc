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
    """Create the store, bring it up to date, see where it stands."""


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

    try:
        print_status(choices, _schema(choices, create=False, migrate=False))
    except SchemaTooOld as error:
        complain(error, debug=choices.debug)
        return Exit.NOT_MET  # the store can be reached; it is the check that does not hold
    return Exit.OK


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
