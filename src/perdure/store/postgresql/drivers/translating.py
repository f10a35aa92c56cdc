"""Statements of a checkpoint on the connection of another driver, with the errors that asyncpg would raise."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

import asyncpg
from asyncpg import exceptions

T = TypeVar("T")
CAUSES_MOST = 10
BY_STATE: dict[str, type[asyncpg.PostgresError]] = {
    error.sqlstate: error
    for error in vars(exceptions).values()
    if isinstance(error, type) and issubclass(error, asyncpg.PostgresError) and isinstance(error.__dict__.get("sqlstate"), str)
}
Fetch = Callable[[str, Sequence[Any]], Awaitable[Sequence[Any]]]


class Translating:
    """`is_lost` says whether the connection is gone."""

    def __init__(self, fetch: Fetch, is_lost: Callable[[], bool]) -> None:
        self._fetch = fetch
        self._is_lost = is_lost

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]:
        return await self.translated(lambda: self._fetch(query, args))

    async def fetchrow(self, query: str, *args: Any) -> Any:
        rows = await self.fetch(query, *args)
        return rows[0] if rows else None

    async def fetchval(self, query: str, *args: Any) -> Any:
        row = await self.fetchrow(query, *args)
        return None if row is None else row[0]

    async def execute(self, query: str, *args: Any) -> Any:
        await self.fetch(query, *args)

    async def executemany(self, command: str, args: Iterable[Sequence[Any]]) -> None:
        for values in args:
            await self.fetch(command, *values)

    async def translated(self, work: Callable[[], Awaitable[T]]) -> T:
        """What comes of it. Raises what asyncpg would raise."""
        try:
            return await work()
        except Exception as error:
            if self._is_lost():
                raise ConnectionResetError(str(error)) from error
            state = state_of(error)
            if state is not None:
                raise BY_STATE.get(state, asyncpg.PostgresError)(str(error)) from error
            raise

    async def committed(self, work: Callable[[], Awaitable[Any]]) -> None:
        """The same for a COMMIT: what the server does not say to have failed (a driver's own hooks come after it) may have happened."""
        try:
            await self.translated(work)
        except asyncpg.PostgresError:
            raise
        except Exception as error:
            raise ConnectionResetError(str(error)) from error


def state_of(error: BaseException) -> str | None:
    """What the server said, whatever wrapper it came through."""
    cause: BaseException | None = error
    for _ in range(CAUSES_MOST):
        if cause is None:
            return None
        state = getattr(cause, "sqlstate", None)
        if isinstance(state, str):
            return state
        cause = getattr(cause, "orig", None) or cause.__cause__
    return None
