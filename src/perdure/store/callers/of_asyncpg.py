"""A connection of asyncpg, alone or out of a pool."""

from collections.abc import Sequence
from typing import Any

from perdure.store.callers.kinds import Row, is_closed, not_in_a_transaction

NAMED = "a connection of asyncpg"


class OfAsyncpg:
    is_async = True
    named = NAMED

    def __init__(self, db: Any) -> None:
        """Raises BadInput."""
        if db.is_closed():
            raise is_closed(NAMED)
        if not db.is_in_transaction():
            raise not_in_a_transaction(NAMED, "use it inside of `async with connection.transaction():`")
        self._db = db

    async def fetch(self, statement: str, values: Sequence[Any]) -> Sequence[Row]:
        return [tuple(row) for row in await self._db.fetch(statement, *values)]
