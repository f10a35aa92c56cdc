"""Steps that a store performs inside the transaction that records them."""

from typing import Any, Protocol

from perdure.errors import StoreError
from perdure.model.records import NewRecord


class Call(Protocol):
    """A transactional step that is performed inside the transaction of its checkpoint."""

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
