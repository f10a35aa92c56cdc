"""Starts and signals inside a transaction that the caller has open."""

from typing import Protocol, runtime_checkable

from perdure.model.runs import NewRun, NewSignal
from perdure.store.protocol import Started


@runtime_checkable
class Inside(Protocol):
    """A transaction that the caller has open. What is written becomes durable with it and is noticed then, or it never happened.

    Waits for nothing but the caller's connection. Raises BadInput, having written nothing, where that is not in a transaction or leads to
    another database, and what its driver raises.
    """

    async def start(self, run: NewRun) -> Started:
        """As `Store.start`."""

    async def send(self, signal: NewSignal, limit: int) -> None:
        """As `Store.send`, but for a run that ends before the transaction is committed it is in vain, and nobody is told."""
