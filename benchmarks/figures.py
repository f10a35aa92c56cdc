"""What a scenario measures: numbers with their unit, the target they are held against, and the floor of the same disk."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. `floor` is what the disk alone would give, in the same unit; `commits` counts transactions, each with one sync; on
    PostgreSQL statements, each a trip."""

    name: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    floor: float | None = None
    commits: float | None = None
    cpu_microseconds: float | None = None
    """Of the whole process, for each item."""

    @property
    def is_met(self) -> bool | None:
        """None where there is no target."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return None if self.at_most is None else self.value <= self.at_most

    @property
    def times_floor(self) -> float | None:
        """How far from the floor: 1 is at it, 2 is half as fast or takes twice as long."""
        if not self.floor or not self.value:
            return None
        return self.floor / self.value if self.unit.endswith("/s") else self.value / self.floor


@dataclass(frozen=True, slots=True)
class Repeated:
    """The medians of several repetitions, and how far these lay apart."""

    figure: Figure
    lowest: float
    highest: float


def repeated(repetitions: Iterable[Sequence[Figure]]) -> list[Repeated]:
    return [_medians(same) for same in zip(*repetitions, strict=True)]


def _medians(same: Sequence[Figure]) -> Repeated:
    first = same[0]
    values = [one.value for one in same]
    figure = Figure(
        first.name,
        median(values),
        first.unit,
        first.at_least,
        first.at_most,
        _median([one.floor for one in same]),
        _median([one.commits for one in same]),
        _median([one.cpu_microseconds for one in same]),
    )
    return Repeated(figure, min(values), max(values))


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def as_json(one: Repeated) -> dict[str, Any]:
    figure = one.figure
    return {
        "figure": figure.name,
        "value": figure.value,
        "unit": figure.unit,
        "lowest": one.lowest,
        "highest": one.highest,
        "at_least": figure.at_least,
        "at_most": figure.at_most,
        "is_met": figure.is_met,
        "floor": figure.floor,
        "times_floor": figure.times_floor,
        "commits": figure.commits,
        "cpu_microseconds": figure.cpu_microseconds,
    }
