"""What workflow code asks for."""

import asyncio
from dataclasses import dataclass
from typing import Any

from perdure.authoring.step import Step, StepOptions
from perdure.model.records import RecordKind

_OF_COMPENSATIONS = {RecordKind.STEP: RecordKind.COMPENSATED, RecordKind.STEP_FAILED: RecordKind.COMPENSATION_FAILED}


@dataclass(slots=True)
class StepCommand:
    """Run a step. `payload` holds its arguments, encoded; `activation` tells which commands were issued together."""

    number: int
    step: Step[..., object]
    options: StepOptions
    payload: bytes
    digest: bytes
    activation: int
    future: asyncio.Future[Any]
    copied: tuple[tuple[Any, ...], dict[str, Any]] | None = None
    """The arguments as `payload` reads back, for the first attempt."""
    is_cancelled: bool = False

    def take_arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What the step gets: a copy for each attempt, so that none sees what another did to it."""
        copied, self.copied = self.copied, None
        return self.step.parameters.decode(self.payload) if copied is None else copied

    @property
    def is_compensation(self) -> bool:
        return self.options.is_compensation

    def recorded_as(self, kind: RecordKind) -> RecordKind:
        """Of an outcome of a step."""
        return _OF_COMPENSATIONS[kind] if self.options.is_compensation else kind

    @property
    def name(self) -> str:
        return self.step.name


@dataclass(frozen=True, slots=True)
class Returned:
    """The workflow returned; `payload` is its result."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Continued:
    """The workflow goes on as a new generation; `payload` are its arguments."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Raised:
    """The workflow raised."""

    error: BaseException


Outcome = Returned | Continued | Raised
"""How the code of a generation has ended."""
