"""Which `patched` marks a run has passed: one answer for each mark, the same on every replay."""

from collections.abc import Sequence

from perdure.errors import CorruptedHistory
from perdure.model.records import Record, RecordKind

NOT_RECALLED = 1 << 62  # as if it had been put down at the end of time: a replay that was not told of its history denies every mark


class Marks:
    """A mark that is met where no code has been before is passed, and recorded with the next that the run has to write.

    Code has been there if the run was put down later, or if something is recorded that was asked for later. What was asked for behind
    a mark is never recorded before the mark, nor is the run put down before; so an answer given once is given again after any crash.
    """

    def __init__(self) -> None:
        self.fresh: list[str] = []
        """Passed, but not handed to the committer yet."""
        self._answers: dict[str, bool] = {}
        self._reached = NOT_RECALLED
        self._steps = 0
        self._timers = 0

    def recall(self, history: Sequence[Record], reached: int) -> None:
        """Before a replay. `reached`: the last record whose activation is known to have been over when the run was put down."""
        self._reached = reached
        for record in history:
            if record.kind is RecordKind.PATCHED:
                self._answers[record.name] = True
            elif record.kind is RecordKind.TIMER:
                self._timers = max(self._timers, (record.command or 0) + 1)
            elif record.command is not None and record.command >= self._steps:
                self._steps = record.command + 1

    def is_passed(self, mark: str, position: int, issued: int, timers_set: int, *, is_live: bool) -> bool:
        """`position` of the record that the code is seeing; how many steps and timers it has asked for so far."""
        answer = self._answers.get(mark)
        if answer is None:
            is_new = position > self._reached and issued >= self._steps and timers_set >= self._timers
            answer = self._answers[mark] = is_live or is_new
            if answer:
                self.fresh.append(mark)
        return answer

    def answered(self, mark: str) -> bool:
        """While the run is being closed: nothing is decided any more."""
        return self._answers.get(mark, False)

    def check(self, record: Record) -> None:
        """A replay comes to the record of a mark that its code was told it had not passed: it was not told of its history before."""
        if self._answers.setdefault(record.name, True) is False:
            raise CorruptedHistory(f"record {record.position}: mark {record.name!r} was passed, but the replay has denied it")

    def take(self) -> list[str]:
        fresh, self.fresh = self.fresh, []
        return fresh
