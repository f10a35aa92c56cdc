"""Reads the generations of a run."""

from collections.abc import Sequence

import apsw

from perdure.store.generations import FIRST, Generation, Part, checked_generation, lineage_of
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.statements import fetch

SQL = named_queries("generations")


def generation(db: apsw.Connection, namespace: str, run_id: str, number: int) -> Generation:
    """Raises CorruptedHistory where it is not what was written."""
    rows = [] if number == FIRST else fetch(db, SQL["generation"], (namespace, run_id, number))
    return checked_generation(run_id, number, rows[0] if rows else None)


def lineage(db: apsw.Connection, namespace: str, run_id: str, number: int) -> Sequence[Part]:
    """Where the whole history of a generation stands, in order. Raises CorruptedHistory."""
    return lineage_of(run_id, number, lambda one: generation(db, namespace, run_id, one))
