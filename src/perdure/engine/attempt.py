"""One try of one step."""

import asyncio
from dataclasses import dataclass

from perdure.runtime.commands import StepCommand


@dataclass(slots=True, eq=False)
class Attempt:
    """`is_over` once it has been reported or given up: what it still does then is discarded."""

    command: StepCommand
    number: int
    is_over: bool = False
    has_begun: bool = False
    task: "asyncio.Task[None] | None" = None
    timer: asyncio.TimerHandle | None = None
    is_final: bool = False
    """What it fails with is not worth another try."""

    @property
    def is_cancelled_from_outside(self) -> bool:
        """Whether somebody else has cancelled its task: neither its body nor `abandon`."""
        return not self.is_over and self.task is not None and self.task.cancelling() > 0

    def abandon(self) -> None:
        """Nobody waits for it any more. A task is cancelled; a thread keeps its slot until it ends.

        A task that has not begun is left to see for itself: one that is cancelled before it begins would never give its slot back.
        """
        self.is_over = True
        if self.timer is not None:
            self.timer.cancel()
        if self.task is not None and self.has_begun:
            self.task.cancel()
