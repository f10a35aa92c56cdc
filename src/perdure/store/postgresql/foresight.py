"""What a checkpoint takes for granted so that it need not look: the statement that writes makes sure of it."""

from perdure.store.endings import Finish, Park, Release
from perdure.store.postgresql.looking import Seen
from perdure.store.postgresql.scope import Scope
from perdure.store.protocol import Change, Checkpoint

CAUTIOUS_CHECKPOINTS = 4
"""So many look first after one that found something else than it had taken for granted: what was written in vain is not for nothing."""


class Foresight:
    """The time is what the clock of the database said last.

    What is put down or ends has nothing in its inbox, and nothing is wanted of it. Nobody is suspected, and nothing belongs to the dead.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._cautious = 0

    def of(self, batch: Checkpoint) -> Seen | None:
        """None where there is something to look at."""
        if self._cautious:
            self._cautious -= 1
            return None
        now = self._scope.foreseen_now()
        if now is None:
            return None
        if batch.lists_owned or not all(is_foreseeable(change) for change in batch.changes):
            return None
        if any(change.ending is None and is_asking(change) and not is_due(change, now) for change in batch.changes):
            return None  # it was told that there is something in its inbox
        return Seen(now, unseen=tuple(change.run_id for change in batch.changes if is_asking(change)), is_foreseen=True)

    def was_wrong(self) -> None:
        self._cautious = CAUTIOUS_CHECKPOINTS
        if self._scope.authority is not None:
            self._scope.authority.doubt()


def is_asking(change: Change) -> bool:
    return change.reads_inbox or change.ending is not None


def is_foreseeable(change: Change) -> bool:
    """Other endings have to know more."""
    return not change.calls and (change.ending is None or isinstance(change.ending, Finish | Park | Release))


def is_due(change: Change, now: int) -> bool:
    return any(timer.deadline <= now for timer in change.due)
