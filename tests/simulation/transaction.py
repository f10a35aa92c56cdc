"""One transaction as the auditor sees it while its rows come in, and how it is told."""

from dataclasses import dataclass, field
from typing import Any

from tests.simulation.watching import RowChange
from tests.simulation.world import Process

TRANSITIONS = {
    ("pending", "running"),
    ("waiting", "running"),
    ("running", "running"),
    ("running", "waiting"),
    ("running", "quarantined"),
    ("running", "completed"),
    ("running", "failed"),
    ("waiting", "waiting"),
    ("quarantined", "waiting"),
    ("pending", "cancelled"),
    ("waiting", "cancelled"),  # by hand, if it was paused before it began
    ("paused", "cancelled"),
    ("quarantined", "cancelled"),
    ("running", "cancelled"),
    ("pending", "paused"),
    ("waiting", "paused"),
    ("running", "paused"),
    ("paused", "waiting"),
    ("failed", "waiting"),
}
Row = dict[str, Any]


@dataclass(slots=True)
class Transaction:
    """What one transaction has shown so far."""

    process: Process
    fence: str | None = None
    signals: dict[str, list[tuple[str, bytes]]] = field(default_factory=dict)
    taken: dict[str, list[tuple[str, bytes]]] = field(default_factory=dict)
    parked: list[Row] = field(default_factory=list)
    retried: set[str] = field(default_factory=set)
    written_by_nobody: set[str] = field(default_factory=set)
    """Runs that nobody owns and that got a record all the same: it must have been their end."""
    wanted: set[str] = field(default_factory=set)
    """Runs of which somebody wants something, or which were told what."""
    troubled: set[str] = field(default_factory=set)
    forgotten: list[Row] = field(default_factory=list)
    """Troubles that nobody will be told of."""
    emptied: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    claimed_as_started: set[str] = field(default_factory=set)
    opened: set[str] = field(default_factory=set)
    """Runs that begin a later generation with it."""


def told(change: RowChange) -> str:
    """One line of the trace."""
    if change.old is None or change.new is None:
        row = {name: value for name, value in change.row.items() if value is not None and not isinstance(value, bytes)}
        return f"{'+' if change.old is None else '-'} {change.table} {row}"
    differences = {name: value for name, value in change.new.items() if value != change.old[name] and not isinstance(value, bytes)}
    return f"~ {change.table} {next(iter(change.new.values()))} {differences}"
