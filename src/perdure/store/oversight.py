"""What is asked of a store by whoever watches over it: people, alarms, the doctor."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from perdure.clock import Instant, Microseconds
from perdure.model.findings import Finding, Group
from perdure.model.lost_records import Known, LostRecords
from perdure.model.states import RunState
from perdure.model.troubles import Stranded, TroubleRow


class Oversight(Protocol):
    """A part of the store protocol."""

    async def examine(self) -> Sequence[Finding]:
        """What endangers this store itself: settings, disk, rights. Writes nothing, but waits for its turn to write."""

    async def groups(self) -> Sequence[Group]:
        """The unfinished runs by state, workflow and Python. Looks at each of them."""

    async def newest(self) -> Instant | None:
        """When the last run was started."""

    async def counts(self) -> Mapping[RunState, int]:
        """Of the runs in each state; states without runs are left out. Looks at every run."""

    async def set_aside_lost(self, known: Sequence[Known]) -> Sequence[LostRecords]:
        """What is gone of records that were acknowledged. Runs that go on without them are quarantined in the same transaction."""

    # ── troubles ─────────────────────────────────────────────────────────────────────────────────────────────────────
    # A run that fails or is quarantined becomes one in the transaction that ends its stay.

    async def take_troubles(self, limit: int, hold: Microseconds) -> Sequence[TroubleRow]:
        """Those that somebody may be told of now; nobody else is given them for as long as `hold`."""

    async def settle_trouble(self, trouble: TroubleRow, again_after: Microseconds | None) -> None:
        """It was told (None), or is to be told again after a while. Does nothing if the run is in other trouble by now."""

    async def note_stranded(self, due_for: Microseconds, most: int) -> None:
        """Runs that nobody alive could take for so long become troubles, at most so many at a time; those that were taken do not count."""

    async def stranded(self, due_for: Microseconds, limit: int) -> Sequence[Stranded]:
        """Runs that no live worker can take: due for so long, or of a dead owner."""
