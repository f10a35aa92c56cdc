"""From a command to the store and back: one client, one event loop, for as long as the command takes."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from perdure.cli.options import Choices

if TYPE_CHECKING:
    from perdure.client import Client

T = TypeVar("T")


def with_client(choices: Choices, action: "Callable[[Client], Awaitable[T]]") -> T:
    """Open the store, do it, close the store. Refuses a store that does not exist."""
    url = choices.store_url  # first, so that what is missing is said before anything is loaded
    import asyncio

    from perdure.client import Client  # here, so that --help does not wait for it

    async def connected() -> T:
        async with Client(url, namespace=choices.namespace) as client:
            return await action(client)

    return asyncio.run(connected())
