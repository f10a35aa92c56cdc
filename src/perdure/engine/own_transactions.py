"""Transactional steps where each attempt has a transaction of its own: the body runs in it, and a checkpoint ends it with the record."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from perdure.engine.attempt import Attempt
from perdure.engine.committer import Committer
from perdure.engine.crumbs import Crumbs
from perdure.engine.live import LiveRun
from perdure.engine.patience import pause, pauses
from perdure.engine.ports import Ports
from perdure.errors import PerdureError, StoreError
from perdure.model.records import NewRecord, RecordKind
from perdure.runtime.commands import StepCommand
from perdure.settings import Settings
from perdure.store.calls import BeginsAnew, Call, NotAllowedInTransaction, StepTransaction
from perdure.store.protocol import Store

log = logging.getLogger("perdure.step")


class OwnCall:
    """An attempt whose body has returned. Nothing of it is there until a checkpoint has ended its transaction."""

    is_final = False

    def __init__(
        self, run_id: str, attempt: Attempt, settles: bool, seconds: float, record: NewRecord, transaction: StepTransaction
    ) -> None:
        self.run_id = run_id
        self.command = attempt.command.number
        self.attempt = attempt
        self.settles = settles
        self.seconds = seconds
        self.transaction = transaction
        self.is_taken = False
        self.told: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self._record = record
        self._spoiled: BaseException | None = None

    def perform(self, connection: Any) -> NewRecord:  # noqa: ARG002 - it was performed on a connection of its own
        if self._spoiled is not None:
            raise self._spoiled
        return self._record

    def spoil(self, error: BaseException) -> None:
        """Nothing of it is there."""
        self._spoiled = error

    def tell(self, error: BaseException | None) -> None:
        """What became of it: None, it is recorded."""
        if not self.told.done():
            self.told.set_result(error)


class Again(Exception):
    """The attempt begins anew and is not counted."""


class OwnTransactions:
    """Performs attempts. `limit` begins the time of one; waiting for a connection, and for a checkpoint's turn, does not count."""

    def __init__(
        self,
        store: Store,
        ports: Ports,
        settings: Settings,
        crumbs: Crumbs,
        committer: Committer,
        limit: Callable[[LiveRun, Attempt], None],
    ) -> None:
        self._store = store
        self._ports = ports
        self._settings = settings
        self._crumbs = crumbs
        self._committer = committer
        self._limit = limit

    async def perform(self, run: LiveRun, attempt: Attempt) -> None:
        """Returns when it is recorded. Raises what the step fails with; then nothing of it is there."""
        for seconds in pauses(self._settings):
            try:
                await self._try(run, attempt)
                return
            except Again as again:
                # Put back: the same attempt begins again below.
                log.info("step %s of run %s begins anew: %s", attempt.command.name, run.id, again.__cause__)
            await pause(seconds)

    async def _try(self, run: LiveRun, attempt: Attempt) -> None:
        transaction = await self._begin(attempt)
        try:
            call = await self._performed(run, attempt, transaction)
            await self._recorded(run, call)
        except BeginsAnew as error:
            raise Again from error
        except NotAllowedInTransaction:  # what it wrote may be there already
            attempt.is_final = True
            raise
        finally:
            await transaction.close()

    async def _begin(self, attempt: Attempt) -> StepTransaction:
        try:
            return await self._store.begin(attempt.command.step.connection)
        except StoreError as error:
            raise Again from error
        except TypeError:  # there is no such connection: another try would find the same
            attempt.is_final = True
            raise

    async def _performed(self, run: LiveRun, attempt: Attempt, transaction: StepTransaction) -> OwnCall:
        command = attempt.command
        self._limit(run, attempt)
        try:
            value = await self._value(run, attempt, transaction)
        except asyncio.CancelledError:
            transaction.abandon()
            raise
        finally:
            if attempt.timer is not None:
                attempt.timer.cancel()
        record = self._record(attempt, command, value)
        settles = command.number in run.retrying and run.retrying[command.number].is_on_disk
        return OwnCall(run.id, attempt, settles, self._settings.transaction_seconds, record, transaction)

    async def _value(self, run: LiveRun, attempt: Attempt, transaction: StepTransaction) -> object:
        command = attempt.command
        try:
            args, kwargs = command.take_arguments()
        except PerdureError:
            attempt.is_final = True
            raise
        function = command.step.function
        if not command.step.is_async:  # for a thread
            slot = self._crumbs.take_slot()
            try:
                function = self._crumbs.around(function, run.crumb, slot)
                value = await transaction.perform(partial(called, function, args, kwargs))
            finally:
                self._crumbs.give_back(slot)
        else:
            value = await transaction.perform(partial(called, function, args, kwargs))
        if inspect.iscoroutine(value):
            value.close()
            raise TypeError(f"step {command.name} returned a coroutine: make it an `async def`, or await it")
        return value

    def _record(self, attempt: Attempt, command: StepCommand, value: object) -> NewRecord:
        try:
            payload = command.step.returns.encode(value, limit=self._settings.limits.payload_bytes)
        except PerdureError:
            attempt.is_final = True
            raise
        kind = command.recorded_as(RecordKind.STEP)
        return NewRecord(kind, command.name, command.number, command.digest, command.payload, payload, None, attempt.number)

    async def _recorded(self, run: LiveRun, call: OwnCall) -> None:
        self._ports.reached("transaction.ready")
        self._committer.enclose(run, call)
        try:
            error = await call.told
        except asyncio.CancelledError:
            if not call.is_taken:  # else the checkpoint that has it ends its transaction
                call.transaction.abandon()
            raise
        if error is not None:
            raise error


def without_undone(calls: Sequence[Call], recorded: Collection[int | None], raised: Mapping[int, BaseException]) -> Sequence[Call]:
    """Whoever performs a call that no checkpoint has recorded is told so, and goes on from there; the others."""
    for call in calls:
        if isinstance(call, OwnCall) and call.command not in recorded:
            call.tell(raised.get(call.command) or BeginsAnew("its checkpoint had no place for it"))
    return [call for call in calls if not isinstance(call, OwnCall) or call.command in recorded]


def called(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], connection: Any) -> Any:
    return function(connection, *args, **kwargs)
