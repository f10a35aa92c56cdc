"""The seam between workflow code and the run that executes it: which run is asking, and what it may ask for."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from perdure.clock import Instant
from perdure.errors import NotInWorkflow

if TYPE_CHECKING:
    from perdure.authoring.step import Step, StepOptions


@dataclass(frozen=True, slots=True)
class Info:
    """Who is asking. Inside a step the last four are set."""

    run_id: str
    workflow: str
    step: str | None = None
    attempt: int | None = None
    """1 for the first try; a try counts once its failure is recorded."""
    idempotency_key: str | None = None
    """The same for every try of one step; give it to the other side so that a repeat does nothing."""
    fencing_token: str | None = None
    """Grows whenever the run changes hands; a store that compares it can refuse a worker that came back too late."""


class Host(Protocol):
    """What a run answers to its own code."""

    def call_step(
        self, step: "Step[..., object]", options: "StepOptions", args: tuple[object, ...], kwargs: dict[str, object]
    ) -> Awaitable[object]: ...
    def compensation(
        self, step: "Step[..., object]", options: "StepOptions", args: tuple[object, ...], kwargs: dict[str, object]
    ) -> Callable[[], Coroutine[Any, Any, object]]:
        """Checks and copies the arguments; what it returns asks for the step."""

    def have_to_undo(self, more: int) -> None:
        """How many compensations have been noted more than before; fewer where it is negative."""

    def undoing(self, error: BaseException) -> AbstractContextManager[None]:
        """While it is entered, a saga is undoing what it did: neither a cancel's time limit nor the end of the code stops it."""

    @property
    def is_closing(self) -> bool:
        """Whether the run is being dropped from memory."""

    def receive(self, topics: tuple[str, ...]) -> Awaitable[tuple[str, bytes]]: ...
    def now(self) -> datetime: ...
    def instant(self) -> Instant: ...
    def uuid4(self) -> UUID: ...
    def random(self) -> Random: ...
    def info(self) -> Info: ...
    def set_status(self, note: object) -> None: ...
    def patched(self, mark: str) -> bool: ...
    def continue_as_new(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """Checks and keeps the arguments of the next generation."""

    def refuse_child(self, name: str) -> None: ...


attempt_info: contextvars.ContextVar[Callable[[], Info]] = contextvars.ContextVar("perdure_attempt_info")
"""Made when asked for: most steps never ask."""


def current_host() -> Host | None:
    """The run whose code is executing; None outside a run and inside a step."""
    return getattr(asyncio._get_running_loop(), "host", None)


def require_host(what: str) -> Host:
    host = current_host()
    if host is None:
        raise NotInWorkflow(
            f"{what} works inside a workflow only, and not inside a step; call it from an `@workflow` function that a worker runs"
        )
    return host
