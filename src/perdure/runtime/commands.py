"""What workflow code asks for."""

import asyncio
from dataclasses import dataclass
from typing import Any

from perdure.authoring.step import Step, StepOptions


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
    is_cancelled: bool = False

    @property
    def name(self) -> str:
        return self.step.name


@dataclass(frozen=True, slots=True)
class Returned:
    """The workflow returned; `payload` is its result."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Raised:
    """The workflow raised."""

    error: BaseException
