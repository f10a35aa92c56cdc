"""What is asked of a store for transactions in which others write, too: transactional steps, and callers."""

from typing import TYPE_CHECKING, Protocol

from perdure.store.callers.kinds import Caller
from perdure.store.calls import StepTransaction

if TYPE_CHECKING:
    from perdure.store.inside import Inside


class Transacting(Protocol):
    @property
    def performs_calls(self) -> bool:
        """Whether a checkpoint performs the calls that it is given; else each attempt asks to `begin` a transaction of its own."""

    async def begin(self, connection: type | None) -> StepTransaction:
        """For a step whose first parameter has this type; None: it does not say.

        Raises TypeError where there is no such connection, StoreError where none can be had.
        """

    async def inside(self, caller: Caller) -> "Inside":
        """For a transaction of the caller, whose connection is not used yet. On SQLite the store need not be open.

        Raises BadInput for a connection of another kind of database, StoreError.
        """
