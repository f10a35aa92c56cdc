"""Rows of runs that are asked for one by one: those that are asked for while a read is under way share the next."""

import asyncio
from copy import copy

from perdure.errors import StoreUnavailable
from perdure.model.runs import RunRow
from perdure.store.postgresql import runs
from perdure.store.postgresql.connections import Connections
from perdure.store.postgresql.failures import DataRefused
from perdure.store.postgresql.scope import Scope

ROWS_AT_ONCE = 500
Answer = asyncio.Future["RunRow | None"]


class RowReads:
    """What is read was committed, at the earliest, when it was asked for."""

    def __init__(self, connections: Connections, scope: Scope) -> None:
        self._connections = connections
        self._scope = scope
        self._loop = asyncio.get_running_loop()
        self._gathering: dict[str, Answer] = {}
        self._task: asyncio.Task[None] | None = None

    async def read(self, run_id: str) -> RunRow | None:
        answer = self._gathering.get(run_id)
        if answer is None:
            answer = self._gathering[run_id] = self._loop.create_future()
        self._begin()
        return await asyncio.shield(answer)  # others may wait for it, too

    def _begin(self) -> None:
        if self._task is None and self._gathering:
            self._task = self._loop.create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._gathering:
                page = {run_id: self._gathering.pop(run_id) for run_id in list(self._gathering)[:ROWS_AT_ONCE]}
                await self._answer(page)
        finally:
            self._task = None
            self._begin()  # where somebody has cancelled this one: whoever waits for the rest is somebody else

    async def _answer(self, page: dict[str, Answer]) -> None:
        """An id that the database refuses is that of no run, and keeps nobody else from being answered."""
        try:
            found = await self._connections.read(lambda db: runs.read_runs(db, self._scope, list(page)))
        except DataRefused as error:
            if len(page) == 1:
                self._fail(page, error)
            else:
                for run_id, answer in page.items():
                    await self._answer({run_id: answer})
        except Exception as error:  # handed to everyone who asked
            self._fail(page, error)
        except asyncio.CancelledError:
            self._fail(page, StoreUnavailable("the task that reads was cancelled; nothing was read, ask again"))
            raise
        else:
            for run_id, answer in page.items():
                answer.set_result(found.get(run_id))

    def _fail(self, page: dict[str, Answer], error: Exception) -> None:
        for answer in [one for one in page.values() if not one.done()]:
            answer.set_exception(copy(error))  # one each: whoever raises an error writes into it
            answer.exception()  # whoever asked may have gone: that is no news

    async def close(self) -> None:
        """Returns when nothing is asked for any more."""
        while self._task is not None:
            await asyncio.wait([self._task])
