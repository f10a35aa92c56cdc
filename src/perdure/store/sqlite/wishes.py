"""What is wanted of runs and waits for their owners, as a checkpoint reads it."""

from collections.abc import Mapping

import apsw

from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.statements import fetch
from perdure.store.wishes import NOTHING, Wish

SQL = named_queries("requests")


def wishes_of(db: apsw.Connection, namespace: str, run_id: str) -> Mapping[str, Wish]:
    return {kind: (arrived_at, grace) for kind, arrived_at, grace in fetch(db, SQL["of_run"], (namespace, run_id))}


class Wishes:
    """Of the runs in one transaction: mostly nobody wants anything, and one look at the table tells so for all."""

    def __init__(self, db: apsw.Connection, namespace: str) -> None:
        self._db = db
        self._namespace = namespace
        self._are_there: bool | None = None

    def of(self, run_id: str) -> Mapping[str, Wish]:
        if self._are_there is None:
            self._are_there = bool(fetch(self._db, SQL["any"], (self._namespace,)))
        return wishes_of(self._db, self._namespace, run_id) if self._are_there else NOTHING
