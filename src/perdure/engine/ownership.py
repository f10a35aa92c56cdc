"""Compares what the store says is this worker's with what it holds in memory: a reply that was lost must strand no run."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Set

from perdure.engine.committer import Committer
from perdure.engine.live import LiveRun
from perdure.engine.loading import Loading

log = logging.getLogger("perdure.engine")


class Ownership:
    """`owned_count` asks the store how many runs are mine, `drop` lets go of one that is not.

    Those of `starting` may be mine and are about to be taken up.
    """

    def __init__(
        self,
        live: Mapping[str, LiveRun],
        loading: Loading,
        starting: Set[str],
        committer: Committer,
        owned_count: Callable[[], Awaitable[int]],
        drop: Callable[[LiveRun], None],
    ) -> None:
        self._live = live
        self._loading = loading
        self._starting = starting
        self._committer = committer
        self._owned_count = owned_count
        self._drop = drop

    async def check(self) -> None:
        """Let the next checkpoint compare, unless there is nothing on either side: an idle worker need not write."""
        if self._live or self._loading.wanted or await self._owned_count():
            self._committer.want_owned()

    def compare(self, owned: frozenset[str], number: int) -> None:
        """Adopt what memory lacks, drop what is not mine. The checkpoint of this number knows nothing of runs that came later."""
        for run_id in owned - self._live.keys() - self._loading.wanted - self._starting:
            log.warning("run %s belongs to this worker but was not in memory; it is taken up", run_id)
            self._loading.add(run_id)
        for run_id in self._live.keys() - owned:
            if self._live[run_id].since <= number:
                log.warning("run %s does not belong to this worker any more; it is dropped", run_id)
                self._drop(self._live[run_id])
