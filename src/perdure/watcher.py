"""Waits for the end of a run, which somebody tells or a look at the store finds."""

import asyncio

from perdure.model.records import Record

End = tuple[str, Record]
"""The workflow's name and the last record."""


class Watcher:
    """Somebody who waits for the end of a run."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: asyncio.Future[End | None] = asyncio.get_running_loop().create_future()

    def tell(self, end: End | None) -> None:
        """It has ended, and how if that is known."""
        if not self._told.done():
            self._told.set_result(end)

    def give_up(self, why: str) -> None:
        """Nobody will tell any more."""
        if not self._told.done():
            self._told.set_exception(RuntimeError(why))
            self._told.exception()  # seen: whoever waits may be looking at the store just now

    async def next_look(self) -> End | None:
        """Wait until told; what is told meanwhile is not missed."""
        end = await self._told
        self._told = asyncio.get_running_loop().create_future()
        return end
