"""Reading a store beside production, for those who only look."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from perdure.store.protocol import Loaded


class Inspection(Protocol):
    """A namespace of one database, for reading only: safe beside production.

    Blocking. Each call sees one moment, changes nothing, and leaves no lock, connection or file behind. The right to read is enough.
    """

    def check_schema(self) -> None:
        """Raises StoreNotFound, NotAStore, SchemaTooNew, SchemaTooOld, UnsafeFileSystem, StoreUnavailable."""

    def unfinished(self, *, workflow: str | None = None, after: str = "", limit: int = 1000) -> Sequence[tuple[str, str]]:
        """Id and workflow of runs that have not ended, by id, those that follow `after`."""

    def load(self, run_ids: Sequence[str]) -> Mapping[str, Loaded]:
        """Missing runs are left out; a damaged record is reported with its run, never raised."""

    def inboxes(self, at_least: int) -> Mapping[str, int]:
        """Runs with at least so many undelivered signals, and how many."""
