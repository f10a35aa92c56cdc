"""Runs that the worker's own engine starts: where there is room they are its own from the beginning, without a claim."""

import asyncio
from collections.abc import Callable

from perdure.engine.committer import Committer
from perdure.model.runs import NewRun
from perdure.store.protocol import Claimant, Claimed, Started, Store


class Starting:
    """`room`: for how many more runs. `began` takes one that is mine now, in a plain callback: workflow code runs in no task."""

    def __init__(
        self,
        store: Store,
        committer: Committer,
        incarnation: Callable[[], str],
        python: str,
        room: Callable[[], int],
        began: Callable[[Claimed], None],
    ) -> None:
        self.under_way: set[str] = set()
        """Runs that may be mine already and will need room."""
        self._store = store
        self._committer = committer
        self._incarnation = incarnation
        self._python = python
        self._room = room
        self._began = began
        self._settled: asyncio.Future[None] | None = None

    async def start(self, run: NewRun) -> Started:
        """Where others wait to be claimed, it waits with them."""
        claimant = Claimant(self._incarnation(), self._python) if self._committer.takes_more and self._room() > 0 else None
        if claimant is not None:
            self.under_way.add(run.id)
        try:
            started = await self._store.start(run, claimant)
        except BaseException:  # it may be there all the same, and whoever asked for it is gone
            if claimant is not None:
                self._has_come(run.id)
                self._committer.want_owned()
            self._committer.want_claims()
            raise
        if started.claimed is not None:
            asyncio.get_running_loop().call_soon(self._begin, started.claimed)
            return started
        if claimant is not None:
            self._has_come(run.id)
        if started.row.owner is None:
            self._committer.want_claims()
        elif started.row.owner == self._incarnation():
            self._committer.want_owned()  # it may be that the reply to an earlier start was lost
        return started

    async def settle(self) -> None:
        """Return when nothing that may be mine is under way."""
        while self.under_way:
            self._settled = asyncio.get_running_loop().create_future()
            await self._settled

    def _begin(self, claimed: Claimed) -> None:
        """Of a life that is over it is claimed like others that nobody holds."""
        self._has_come(claimed.row.id)
        if claimed.row.owner == self._incarnation():
            self._began(claimed)

    def _has_come(self, run_id: str) -> None:
        self.under_way.discard(run_id)
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)
