"""What this worker knows to be recorded, held against the store when the store seems to have lost something."""

import logging
from collections import OrderedDict
from functools import partial

from perdure.engine.patience import insist
from perdure.model.lost_records import Known, LostRecords
from perdure.settings import Settings
from perdure.store.protocol import Checkpoint, Claimed, Committed, Store

log = logging.getLogger("perdure.engine")


class Witness:
    """Remembers how far the histories went that it saw committed last: what a fail-over loses are the last commits."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._most = settings.runs_witnessed
        self._known: OrderedDict[str, Known] = OrderedDict()

    def saw(self, batch: Checkpoint, done: Committed) -> None:
        """It is committed."""
        generations = {change.run_id: change.generation for change in batch.changes}
        for written in done.written:
            if written.records:
                self._remember(written.run_id, generations[written.run_id], written.records[-1].position)

    def saw_claimed(self, claimed: Claimed) -> None:
        if claimed.started is not None:
            self._remember(claimed.row.id, claimed.row.generation, claimed.started.position)

    def _remember(self, run_id: str, generation: int, position: int) -> None:
        self._known[run_id] = Known(run_id, generation, position)
        self._known.move_to_end(run_id)
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    async def testify(self, incarnation: str, checkpoints: int) -> None:
        """Of a worker that may not commit any more: was it declared dead, as happens, or has the store gone back in time?

        Reports what is gone, once the store answers.
        """
        await insist(partial(self._compare, incarnation, checkpoints), self._settings, "what the store still has cannot be read")

    async def look_for(self, run_id: str) -> None:
        """The store says that it is not this worker's any more. Somebody else's it may be, but not shorter than it was."""
        if (known := self._known.get(run_id)) is not None:
            gone = await insist(partial(self._store.set_aside_lost, [known]), self._settings, f"run {run_id} cannot be looked for")
            for one in gone:
                _report(one)

    async def _compare(self, incarnation: str, checkpoints: int) -> None:
        row = next((one for one in await self._store.workers() if one.incarnation == incarnation), None)
        if not self._known or (row is not None and row.checkpoint >= checkpoints):
            return
        gone = await self._store.set_aside_lost(list(self._known.values()))
        self._known.clear()
        if row is not None:
            log.error(
                "the store has lost acknowledged commits %d to %d of worker %s (a fail-over without the last commits, or an older backup); "
                "what was acknowledged to others in that time may be lost, too",
                row.checkpoint + 1,
                checkpoints,
                incarnation,
            )
            if row.state == "live":
                await self._store.retire(incarnation)
        for one in gone:
            _report(one)


def _report(one: LostRecords) -> None:
    if one.position is None:
        log.error("%s: its start was acknowledged, and the store has it no more; start it again if it is to run", one)
    else:
        log.error("%s, which were acknowledged; it is quarantined. See `perdure run show %s`", one, one.known.run_id)
