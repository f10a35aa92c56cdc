"""Steps that run inside the transaction that records them."""

import contextvars
import inspect
from typing import Any

from perdure.clock import SECOND
from perdure.engine.attempt import Attempt
from perdure.errors import PerdureError
from perdure.model.records import NewRecord, RecordKind
from perdure.settings import Settings


class TransactionalCall:
    """One attempt, as the store is given it. Performed until a transaction with it is committed: nothing of the others is there."""

    def __init__(self, run_id: str, attempt: Attempt, settles: bool, context: contextvars.Context, settings: Settings) -> None:
        self.run_id = run_id
        self.command = attempt.command.number
        self.attempt = attempt
        self.settles = settles
        limit = attempt.command.options.timeout
        self.seconds = min(settings.transaction_seconds, settings.transaction_seconds if limit is None else limit / SECOND)
        self.is_final = False
        self.body = attempt.command.step.function
        self._context = context
        self._limit = settings.limits.payload_bytes
        self._spoiled: BaseException | None = None

    def perform(self, connection: Any) -> NewRecord:
        """On the thread that writes. Raises what the body raises."""
        if self._spoiled is not None:
            raise self._spoiled
        command = self.attempt.command
        args, kwargs = command.step.parameters.decode(command.payload)
        value = self._context.run(self.body, connection, *args, **kwargs)
        payload = self._encoded(value)
        return NewRecord(
            command.recorded_as(RecordKind.STEP),
            command.name,
            self.command,
            command.digest,
            command.payload,
            payload,
            None,
            self.attempt.number,
        )

    def _encoded(self, value: Any) -> bytes:
        if inspect.iscoroutine(value):
            value.close()
            name = self.attempt.command.name
            raise TypeError(f"step {name} is async; on SQLite a transactional step is a plain def, for it runs on the thread that writes")
        try:
            return self.attempt.command.step.returns.encode(value, limit=self._limit)
        except PerdureError:
            self.is_final = True
            raise

    def tell(self, _error: None) -> None:
        """It is recorded: nobody waits to hear of it."""

    def spoil(self, error: BaseException) -> None:
        """It has ended the transaction that it ran in: it is not let near the next one, where it only raises."""
        self._spoiled = error
