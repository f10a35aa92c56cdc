"""A handle on one run, and what it shows."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic

from perdure.clock import Duration, Instant, to_datetime
from perdure.codec.plain import describe_failure, plain
from perdure.errors import BadInput
from perdure.model.records import Record
from perdure.model.states import RunState
from perdure.names import checked_text

CURSOR_DIGITS_MOST = 18  # what the store counts its times in

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from perdure.authoring.workflow import Workflow
    from perdure.client import Client

    R = TypeVar("R", default=Any)  # so that `Run` alone is a run of whatever result; the standard library has defaults from 3.13 on
else:
    from typing import TypeVar

    R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One entry of a history, decoded. `error` has type, message and traceback; `attempt` is the try that gave the outcome.

    `generation` grows with each `continue_as_new` and each retry. Positions are counted anew after `continue_as_new`; after a retry they
    go on from where it failed.
    """

    position: int
    at: datetime
    kind: str
    name: str
    input: Any
    output: Any
    error: dict[str, Any] | None
    attempt: int
    generation: int = 0


@dataclass(frozen=True, slots=True)
class RunStatus:
    """Where a run stands.

    `state`: pending (nobody has begun it), running, waiting, paused, quarantined, completed, failed or cancelled. `note`: what the code
    said last with `set_status`. `waiting_for`: dicts with `kind` and `text`, and the same as data (until, topics, step, at). `error`: type,
    message and traceback of what failed or quarantined it. `input`: as the caller gave it, before defaults.
    """

    id: str
    workflow: str
    state: str
    note: Any
    waiting_for: list[dict[str, Any]]
    error: dict[str, Any] | None
    input: Any
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as lists show it."""

    id: str
    workflow: str
    status: str
    created_at: datetime
    ended_at: datetime | None
    note: Any


@dataclass(frozen=True, slots=True)
class Page:
    """Some runs, newest first; pass `cursor` to get those that follow, None at the end."""

    runs: list[RunSummary]
    cursor: str | None


class Run(Generic[R]):
    """A run by its id. Making one does no I/O; each method asks the store."""

    def __init__(self, client: "Client", id: str, workflow: "Workflow[..., Any] | None" = None) -> None:
        self.id = id
        self._client = client
        self._workflow = workflow

    async def result(self, timeout: Duration | None = None) -> R:
        """Wait for the end; the result, decoded by the workflow's return type where it is known, or else as plain data.

        It is known to an Engine that runs the workflow, and to the handle that a start by function gave.

        Raises RunFailed (its __cause__ the original), RunCancelled, RunNotFound, TimeoutError. A timeout changes nothing: ask again.
        """
        result: R = await self._client.wait_for_result(self.id, timeout, self._workflow)
        return result

    async def status(self) -> RunStatus:
        """Where it stands just now: its state, its note, what it waits for in words and as data. Raises RunNotFound."""
        return await self._client.status_of(self.id)

    async def history(self) -> list[RunRecord]:
        """Everything that is recorded, in order. Raises RunNotFound, CorruptedHistory."""
        return await self._client.history_of(self.id)

    async def signal(self, topic: str, payload: Any = None, *, key: str | None = None, transaction: Any = None) -> None:
        """Send a message to this run. When it returns, the message is on disk and will be received once.

        A repeat with the same key succeeds and does nothing, whatever its payload, also after the end.
        Raises RunNotFound, RunEnded, InboxFull. With `transaction`, as for `start`, it is sent when that is committed by you, and in vain
        if the run has ended by then.
        """
        await self._client.send_signal(self.id, topic, payload, key, transaction)

    async def cancel(self, *, grace: Duration | None = None) -> None:
        """Stop this run. Its code gets CancelledError once, where it waits, and has `grace` to clean up; then the run ends cancelled.

        When this returns it is on disk, and the run ends cancelled whatever its code does. `grace`: `cancel_grace_seconds` of the settings
        (5 minutes). One that has not begun, or is quarantined, ends at once without running code. A repeat changes nothing.
        Raises RunNotFound, RunEnded (completed or failed).
        """
        await self._client.lifecycle.cancel(self.id, grace)

    async def pause(self) -> None:
        """Let nothing of this run begin until it is resumed: no step, no timer; signals are kept. Steps under way end and are recorded.

        A repeat changes nothing. Raises RunNotFound, RunEnded, NotRetryable where it is quarantined or being cancelled.
        """
        await self._client.lifecycle.pause(self.id)

    async def resume(self) -> None:
        """Let a paused run go on, or a quarantined one after the code was fixed. One that is neither stays as it is.

        Raises RunNotFound, RunEnded.
        """
        await self._client.lifecycle.resume(self.id)

    async def retry(self) -> None:
        """Let a failed run go on from where it failed. Everything recorded before stands; steps that failed there are tried anew.

        A retried step has the same idempotency key, and its attempts and `give_up_after` count from the start. Refused with NotRetryable
        where its code has asked for more after the failure (clean-up, compensations): start a new run then. A repeat changes nothing.
        Raises RunNotFound, NotRetryable.
        """
        await self._client.lifecycle.retry(self.id)

    async def delete(self) -> None:
        """Delete this run with its history, input and result, if it has ended: all of it or, after a crash, nothing. Its id is free then.

        Raises RunNotFound, RunNotEnded (cancel it first).
        """
        await self._client.lifecycle.delete(self.id)

    def __repr__(self) -> str:
        return f"<run {self.id}>"


def shown(record: Record, generation: int = 0) -> RunRecord:
    """A stored record, decoded for people."""
    return RunRecord(
        record.position,
        to_datetime(record.at),
        record.kind.value,
        record.name,
        _value(record.input),
        _value(record.output),
        None if record.error is None else describe_failure(record.error),
        record.attempt,
        generation,
    )


def _value(payload: bytes | None) -> Any:
    return None if payload is None else plain(payload, what="record")


def state_of(status: str) -> RunState:
    try:
        return RunState(status)
    except ValueError:
        raise BadInput(f"status must be one of {', '.join(RunState)}, not {status!r}") from None


def place_of(cursor: str | None) -> tuple[Instant, str] | None:
    if cursor is None:
        return None
    at, _, run_id = checked_text(cursor, "cursor").partition("-")
    if not (at.isascii() and at.isdigit() and len(at) <= CURSOR_DIGITS_MOST) or not run_id:
        raise BadInput(f"this is no cursor of a page: {cursor!r}")
    return int(at), run_id
