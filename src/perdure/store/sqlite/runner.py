"""What the store needs to have its functions run: on threads here, inline in a simulation."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from perdure.store.sqlite.transactions import Function

T = TypeVar("T")


class Runner(Protocol):
    """Runs functions of a connection. They may be run again after a rollback."""

    def write(self, function: Function[T]) -> Awaitable[T]:
        """In a transaction with all that was asked in the same turn of the event loop, in the order asked; answered when it is on disk."""

    def read(self, function: Function[T]) -> Awaitable[T]:
        """In a transaction that sees everything answered before."""

    def write_now(self, function: Function[T]) -> T:
        """Blocking, from any thread, in a transaction of its own."""

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back on the event loop soon after another connection wrote something, until the returned function is called."""

    async def close(self) -> None:
        """Idempotent; waits for what was asked before."""
