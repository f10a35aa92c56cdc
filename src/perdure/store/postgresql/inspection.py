"""Reads a store on PostgreSQL for those who only look: the right to read is enough, and nothing is changed."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from perdure.errors import SchemaTooOld, StoreNotFound
from perdure.store.postgresql import runs, schema
from perdure.store.postgresql.address import Address
from perdure.store.postgresql.connections import Connections, Function
from perdure.store.postgresql.scope import Scope
from perdure.store.protocol import Loaded

T = TypeVar("T")


class PostgresqlInspection:
    """Blocking. Each call opens a connection, reads and closes it again."""

    def __init__(self, address: Address, *, namespace: str) -> None:
        self._address = address
        self._scope = Scope(namespace, address.schema, is_portable=address.is_portable)

    def check_schema(self) -> None:
        """Raises StoreNotFound, SchemaTooNew, SchemaTooOld, StoreUnavailable."""
        status = self._read(lambda db: schema.read_status(db, self._scope))
        if status.version == 0:
            raise StoreNotFound(f"there is no store at {self._address.shown}; correct the address")
        if status.pending:
            lacking = ", ".join(status.pending)
            raise SchemaTooOld(f"{self._address.shown} lacks {lacking}; run `perdure db migrate`, or check with an older perdure")

    def unfinished(self, *, workflow: str | None = None, after: str = "", limit: int = 1000) -> Sequence[tuple[str, str]]:
        return self._read(lambda db: runs.unfinished_after(db, self._scope, after, workflow, limit))

    def load(self, run_ids: Sequence[str]) -> Mapping[str, Loaded]:
        return self._read(lambda db: runs.load(db, self._scope, run_ids))

    def inboxes(self, at_least: int) -> Mapping[str, int]:
        return self._read(lambda db: runs.inboxes(db, self._scope, at_least))

    def _read(self, function: Function[T]) -> T:
        """On a thread: whoever asks may itself be in an event loop."""
        with ThreadPoolExecutor(1, "perdure-inspection") as thread:
            return thread.submit(lambda: asyncio.run(self._asked(function))).result()

    async def _asked(self, function: Function[T]) -> T:
        connections = Connections(self._address, most=1)
        try:
            return await connections.read(function)
        finally:
            await connections.close()
