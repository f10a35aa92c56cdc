"""What the sagas of one run have to undo, and whether they are at it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class Sagas:
    """While one is `undoing`, neither the end of the code nor a cancel's time limit ends the run."""

    noted: int = 0
    undoing: int = 0

    @contextmanager
    def undo(self) -> Iterator[None]:
        self.undoing += 1
        try:
            yield
        finally:
            self.undoing -= 1
