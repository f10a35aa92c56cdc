"""A connection that refuses what databases lack that only speak PostgreSQL's protocol: what slips in is found by every test of it."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import asyncpg

from perdure.errors import StoreError

if TYPE_CHECKING:
    Base = asyncpg.Connection[asyncpg.Record]
else:
    Base = asyncpg.Connection

LACKING = {
    "a lock that others pass by": r"skip\s+locked|nowait|lock\s+table",
    "an advisory lock": r"advisory",
    "a notification": r"\b(un)?listen\b|\bnotify\b|pg_notify",
    "a savepoint": r"\bsavepoint\b",
    "state of a session": r"set_config|\bset\s+(local|session)\b|\b(temp|temporary)\b|\bprepare\b|search_path",
    "stored code": r"\btrigger\b|\bfunction\b|plpgsql|\bdo\s+\$",
    "a sequence": r"\bserial\b|\bsequence\b|generated\s+(always|by\s+default)",
    "a place of a row": r"\bctid\b",
    "truncation": r"\btruncate\b",
    "a partial index": r"create\s+(unique\s+)?index[^;]*\bwhere\b",
    "a falling index": r"create\s+(unique\s+)?index[^;]*\bdesc\b",
    "an array in a column": r"create\s+table[^;]*\[\]",
    "a foreign key": r"\breferences\b",
    "an extension": r"create\s+extension",
}
CHANGES = re.compile(r"(?:insert\s+into|update|delete\s+from)\s+(\"[^\"]+\"\.\w+|perdure\.\w+)", re.IGNORECASE)


@lru_cache(maxsize=1000)
def lacking(statement: str) -> str | None:
    """What it needs, if anything, that other databases lack."""
    plain = re.sub(r"--[^\n]*|/\*.*?\*/", " ", statement, flags=re.DOTALL)
    for what, pattern in LACKING.items():
        if re.search(pattern, plain, re.IGNORECASE):
            return what
    changed = CHANGES.findall(plain)
    return "one table changed twice" if len(changed) != len(set(changed)) and ";" not in plain else None


def refuse(statement: str) -> None:
    """Raises StoreError."""
    if (what := lacking(statement)) is not None:
        raise StoreError(f"the portable profile has no {what.removeprefix('a ').removeprefix('an ')}: {statement.strip()[:200]}")


class PortableConnection(Base):
    """Nothing reaches the database that `refuse` does not let pass."""

    async def execute(self, query: str, *args: Any, **kwargs: Any) -> str:
        refuse(query)
        return await super().execute(query, *args, **kwargs)

    async def executemany(self, command: str, args: Iterable[Any], **kwargs: Any) -> None:
        refuse(command)
        await super().executemany(command, args, **kwargs)

    async def fetch(self, query: str, *args: Any, **kwargs: Any) -> Any:
        refuse(query)
        return await super().fetch(query, *args, **kwargs)

    async def fetchrow(self, query: str, *args: Any, **kwargs: Any) -> Any:
        refuse(query)
        return await super().fetchrow(query, *args, **kwargs)

    async def fetchval(self, query: str, *args: Any, **kwargs: Any) -> Any:
        refuse(query)
        return await super().fetchval(query, *args, **kwargs)
