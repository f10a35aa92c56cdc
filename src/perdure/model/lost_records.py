"""Records that were acknowledged and are gone: what was known, and what is there."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """So far a run's own records of this generation went, as was acknowledged to whoever says so."""

    run_id: str
    generation: int
    position: int


@dataclass(frozen=True, slots=True)
class LostRecords:
    """What of it is gone. `position`: how far its history goes now; None: there is no such run any more."""

    known: Known
    generation: int | None
    position: int | None

    def __str__(self) -> str:
        run = f"run {self.known.run_id}"
        if self.position is None:
            return f"{run} is gone, with {self.known.position} records"
        if self.generation != self.known.generation:
            return f"{run} is back in generation {self.generation}, at record {self.position}, from generation {self.known.generation}"
        return f"{run} has lost its records {self.position + 1} to {self.known.position}"
