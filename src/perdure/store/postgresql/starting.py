"""Starts of runs: those that are asked for in one turn of the event loop share a statement, and so a transaction."""

import asyncio
from copy import copy

from asyncpg.exceptions import DivisionByZeroError

from perdure.model.runs import NewRun
from perdure.store.postgresql import runs
from perdure.store.postgresql.connections import Connections
from perdure.store.postgresql.failures import DataRefused
from perdure.store.postgresql.scope import Scope
from perdure.store.protocol import BadItem, Claimant, Started, UnknownOutcome

RUNS_AT_ONCE = 500
Wanted = tuple[NewRun, Claimant | None]
Asked = tuple[Wanted, "asyncio.Future[Started]"]


class Starting:
    """One statement is under way at a time; what comes meanwhile gathers."""

    def __init__(self, connections: Connections, scope: Scope) -> None:
        self._connections = connections
        self._scope = scope
        self._loop = asyncio.get_running_loop()
        self._gathering: list[Asked] = []
        self._task: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Returns when nothing is asked for any more."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def start(self, run: NewRun, claimant: Claimant | None) -> Started:
        answer: asyncio.Future[Started] = self._loop.create_future()
        self._gathering.append(((run, claimant), answer))
        self._begin()
        return await answer

    def _begin(self) -> None:
        if self._task is None and self._gathering:
            self._task = self._loop.create_task(self._work())

    async def _work(self) -> None:
        page: list[Asked] = []
        try:
            while self._gathering:
                page, self._gathering = self._gathering[:RUNS_AT_ONCE], self._gathering[RUNS_AT_ONCE:]
                await self._insert(page)
        except asyncio.CancelledError:
            self._fail(page, UnknownOutcome("the task that starts runs was cancelled; this one may or may not be written"))
            raise
        finally:
            self._task = None
            self._begin()  # where somebody has cancelled this one: whoever waits for the rest is somebody else

    async def _insert(self, page: list[Asked]) -> None:
        try:
            found = await self._inserted([wanted for wanted, _ in page])
        except DataRefused as error:
            if len(page) > 1:
                for one in page:
                    await self._insert([one])
                return
            refused = BadItem(repr(page[0][0][0].id), f"cannot be stored: {error}")
            refused.__cause__ = error
            self._fail(page, refused)
        except Exception as error:  # handed to everyone who asked
            self._fail(page, error)
        else:
            for (_, answer), each in zip(page, found, strict=True):
                if not answer.done():
                    answer.set_result(each)

    def _fail(self, page: list[Asked], error: Exception) -> None:
        for _, answer in page:
            if not answer.done():
                answer.set_exception(error if len(page) == 1 else copy(error))  # one each: whoever raises an error writes into it

    async def _inserted(self, asked: list[Wanted]) -> list[Started]:
        new: dict[str, Started] = {}
        for claimant in dict.fromkeys(claimant for _, claimant in asked):
            first = {run.id: run for run, whose in reversed(asked) if whose == claimant and run.id not in new}
            new |= await self._new(list(first.values()), claimant)
        found = [new.pop(run.id, None) for run, _ in asked]  # of two with one id only the first is new
        missing = sorted({run.id for (run, _), one in zip(asked, found, strict=True) if one is None})
        known = await self._connections.read(lambda db: runs.read_runs(db, self._scope, missing)) if missing else {}
        gone = [each for each, one in zip(asked, found, strict=True) if one is None and each[0].id not in known]
        again = iter(await self._inserted(gone) if gone else ())  # deleted between the two statements
        return [
            one or (Started(known[run.id], False) if run.id in known else next(again)) for (run, _), one in zip(asked, found, strict=True)
        ]

    async def _new(self, asked: list[NewRun], claimant: Claimant | None) -> dict[str, Started]:
        now = self._scope.foreseen_now()
        if claimant is not None and now is not None:
            try:
                return await self._connections.write(lambda db: runs.insert_claimed(db, self._scope, asked, now, claimant))
            except DivisionByZeroError:  # nothing was written
                if self._scope.authority is not None:
                    self._scope.authority.doubt()
        return await self._connections.write(lambda db: runs.insert(db, self._scope, asked))
