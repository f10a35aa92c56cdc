"""A connection of psycopg 3, for threads or for asyncio."""

import re
from collections.abc import Sequence
from typing import Any

from perdure.store.callers.kinds import Row, has_failed, is_closed, not_in_a_transaction

IDLE, IN_ERROR = 0, 3  # its states of a transaction, which are those of libpq
PARAMETER = re.compile(r"\$(\d+)")


class OfPsycopg:
    """Whatever the connection makes of rows: the cursor used here gives tuples."""

    def __init__(self, db: Any, *, is_async: bool) -> None:
        """Raises BadInput."""
        self.is_async = is_async
        self.named = "an async connection of psycopg" if is_async else "a connection of psycopg"
        refuse_unfit(db, self.named)
        self._db = db

    async def fetch(self, statement: str, values: Sequence[Any]) -> Sequence[Row]:
        from psycopg.rows import tuple_row  # whoever brought the connection has loaded it

        cursor = self._db.cursor(row_factory=tuple_row)
        text, named = in_psycopg(statement, values)
        if self.is_async:
            await cursor.execute(text, named)
            rows: list[Row] = await cursor.fetchall()
        else:
            cursor.execute(text, named)
            rows = cursor.fetchall()
        return rows


def refuse_unfit(db: Any, named: str) -> None:
    if db.closed:
        raise is_closed(named)
    status = int(db.info.transaction_status)
    if status == IN_ERROR:
        raise has_failed(named)
    if status == IDLE and db.autocommit:
        raise not_in_a_transaction(named, "use it inside of `with connection.transaction():`, or without autocommit")


def in_psycopg(statement: str, values: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """Its placeholders are named, so that one value can stand in several places."""
    text = PARAMETER.sub(r"%(p\1)s", statement.replace("%", "%%"))
    return text, {f"p{number}": listed(value) for number, value in enumerate(values, 1)}


def listed(value: Any) -> Any:
    """An array is a list: a tuple would be a row."""
    return list(value) if isinstance(value, tuple) else value
