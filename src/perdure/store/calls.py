"""Steps that write to the run's own database in the transaction that records them."""

from collections.abc import Callable
from typing import Any, Protocol

from perdure.errors import PerdureError, StoreError
from perdure.model.records import NewRecord


class Call(Protocol):
    """A transactional step that is performed inside the transaction of its checkpoint, or was performed in one that the checkpoint ends."""

    run_id: str
    command: int
    settles: bool
    """Whether a row in attempts goes when it succeeds."""
    seconds: float
    """How long it may hold the database."""

    def perform(self, connection: Any) -> NewRecord:
        """Raises what the step raises."""

    def spoil(self, error: BaseException) -> None:
        """From now on `perform` only raises this."""


class CallSpoiled(StoreError):
    """A transactional step has ended the transaction it ran in. Nothing was written."""

    code = "call_spoiled"

    def __init__(self, call: Call, error: BaseException) -> None:
        super().__init__(f"run {call.run_id}: a transactional step ended its transaction: {error}")
        self.call = call
        self.error = error


class StepTransaction(Protocol):
    """A transaction of its own for one attempt of a transactional step. The checkpoint that is given it ends it, whatever comes of it."""

    async def perform(self, body: Callable[[Any], Any]) -> Any:
        """Give the body the connection; what it returns. Raises what it raises, or BeginsAnew where the database has undone it."""

    async def close(self) -> None:
        """Give the connection back. What no checkpoint has committed is undone. Idempotent."""

    def abandon(self) -> None:
        """Cut the connection: the server undoes what it finds open. `close` may follow."""


class BeginsAnew(StoreError):
    """The database has undone an attempt (serialization, deadlock, a lost connection), and nobody is to blame: it does not count."""

    code = "begins_anew"


class NotAllowedInTransaction(PerdureError):
    """A transactional step gave a statement that would end the transaction it runs in, or change more than rows."""

    code = "not_allowed_in_transaction"
