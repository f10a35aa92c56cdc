"""A connection of apsw: the same SQLite as the store's own."""

from collections.abc import Callable
from typing import Any, TypeVar

from perdure.store.callers.kinds import SqliteStatements, not_in_a_transaction

T = TypeVar("T")
NAMED = "a connection of apsw"


class OfApsw:
    is_async = False
    is_pythons = False
    named = NAMED

    def __init__(self, db: Any) -> None:
        """Raises BadInput."""
        if not db.in_transaction:
            raise not_in_a_transaction(NAMED, "execute `begin immediate` first, or use it inside of `with connection:`")
        self._db = db

    async def run(self, work: Callable[[SqliteStatements], T]) -> T:
        return work(self._db)
