"""Writes what runs have to record: rows of many runs are gathered, then written by a few statements."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import apsw

from perdure.clock import Instant
from perdure.errors import PerdureError
from perdure.model.records import NewRecord, Record, RecordKind
from perdure.store.protocol import Change, DueTimer, Finish, Park, Quarantine, Release, Written
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.statements import Row, change_each, fetch

SQL = named_queries("checkpoints")


class NotOwned(PerdureError):
    """A run that is to be changed belongs to somebody else by now."""

    code = "not_owned"


@dataclass(slots=True)
class Rows:
    """What the statements of one checkpoint are given."""

    history: list[Row] = field(default_factory=list)
    fail_attempt: list[Row] = field(default_factory=list)
    intend: list[Row] = field(default_factory=list)
    settle: list[Row] = field(default_factory=list)
    clear_strikes: list[Row] = field(default_factory=list)
    take_signals: list[Row] = field(default_factory=list)
    note: list[Row] = field(default_factory=list)
    give_up: list[Row] = field(default_factory=list)
    quarantine: list[Row] = field(default_factory=list)
    finish: list[Row] = field(default_factory=list)
    ended: list[Row] = field(default_factory=list)

    def write(self, db: apsw.Connection) -> None:
        """Raises NotOwned where a run is not the writer's."""
        many(db, "insert_record", self.history)
        many(db, "fail_attempt", self.fail_attempt)
        many(db, "intend", self.intend)
        many(db, "settle", self.settle)
        many(db, "clear_strikes", self.clear_strikes)
        many(db, "take_signals", self.take_signals)
        for name, rows in (("note", self.note), ("give_up", self.give_up), ("quarantine", self.quarantine), ("finish", self.finish)):
            if many(db, name, rows) != len(rows):
                raise NotOwned(f"{name}: a run belongs to another worker")
        many(db, "forget_attempts", self.ended)
        many(db, "empty_inbox", self.ended)


def many(db: apsw.Connection, name: str, rows: Sequence[Row]) -> int:
    """How many rows were changed."""
    return change_each(db, SQL[name], rows) if rows else 0


def history_row(namespace: str, run_id: str, generation: int, record: Record) -> Row:
    return (
        namespace,
        run_id,
        generation,
        record.position,
        record.at,
        record.kind,
        record.name,
        record.command,
        record.digest,
        record.input,
        record.output,
        record.error,
        record.attempt,
        record.checksum(),
    )


def write_changes(
    db: apsw.Connection, namespace: str, incarnation: str, now: Instant, changes: Sequence[Change], inbox_page: int
) -> Sequence[Written]:
    """All of them, or an error of the database, or NotOwned; after either, the transaction must be undone."""
    gathering = Gathering(db, namespace, incarnation, now, inbox_page)
    written = [gathering.add(change) for change in changes]
    gathering.rows.write(db)
    return written


class Gathering:
    """Turns changes into rows. Reads the inbox of those who ask for it; writes nothing itself."""

    def __init__(self, db: apsw.Connection, namespace: str, incarnation: str, now: Instant, inbox_page: int) -> None:
        self.rows = Rows()
        self._db = db
        self._namespace = namespace
        self._incarnation = incarnation
        self._now = now
        self._inbox_page = inbox_page

    def add(self, change: Change) -> Written:
        new = change.records
        has_more = False
        if change.reads_inbox:
            arrivals, has_more = self._arrivals(change)
            new = new + arrivals
        if isinstance(change.ending, Finish):
            new = [*new, change.ending.record]
        at = max(self._now, change.at)
        records = self._record(change, new, at)
        if change.failures or change.intents or change.settled:
            self._attempts(change, at)
        if change.clears_strikes:
            self.rows.clear_strikes.append((self._namespace, change.run_id))
        if isinstance(change.ending, Park):
            is_parked = not records and not has_more and not self._has_signals(change.run_id)
            self._park_or_note(change, change.ending, is_parked)
            return Written(change.run_id, records, has_more or (not is_parked and not records), is_parked)
        self._end_or_note(change, at)
        return Written(change.run_id, records, has_more)

    def _record(self, change: Change, new: Sequence[NewRecord], at: Instant) -> list[Record]:
        namespace, run_id, generation, position = self._namespace, change.run_id, change.generation, change.position
        records = []
        for one in new:
            position += 1
            record = Record(position, at, one.kind, one.name, one.command, one.digest, one.input, one.output, one.error, one.attempt)
            records.append(record)
            self.rows.history.append(history_row(namespace, run_id, generation, record))
        return records

    def _attempts(self, change: Change, at: Instant) -> None:
        run = (self._namespace, change.run_id)
        for one in change.failures:
            self.rows.fail_attempt.append((*run, one.command, one.name, one.digest, one.failures, one.began_at, one.next_at, one.error))
        for intent in change.intents:
            self.rows.intend.append((*run, intent.command, intent.name, intent.digest, at, self._incarnation))
        self.rows.settle.extend((*run, command) for command in change.settled)

    # ── the run's row ────────────────────────────────────────────────────────────────────────────────────────────────

    def _park_or_note(self, change: Change, park: Park, is_parked: bool) -> None:
        kept = (change.issued, change.note)
        if is_parked:
            self.rows.give_up.append((*self._mine(change), park.wake_at, park.waiting_for, False, *kept))
        elif kept != (None, None):
            self.rows.note.append((*self._mine(change), *kept))

    def _end_or_note(self, change: Change, at: Instant) -> None:
        mine, kept = self._mine(change), (change.issued, change.note)
        match change.ending:
            case Finish(state=state):
                self.rows.finish.append((*mine, state, at, *kept))
                self.rows.ended.append(mine[:2])
            case Quarantine(error=error):
                self.rows.quarantine.append((*mine, error, *kept))
            case Release(wake_at=wake_at, needs_python=needs_python):
                self.rows.give_up.append((*mine, self._now if wake_at is None else wake_at, None, needs_python, *kept))
            case _:
                if kept != (None, None):
                    self.rows.note.append((*mine, *kept))

    def _mine(self, change: Change) -> tuple[str, str, str]:
        return (self._namespace, change.run_id, self._incarnation)

    # ── the inbox ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _arrivals(self, change: Change) -> tuple[list[NewRecord], bool]:
        """Signals and due timers in order of arrival and deadline, and whether some were left for the next checkpoint."""
        values = (self._namespace, change.run_id, self._inbox_page + 1)
        found = fetch(self._db, SQL["signals"], values)
        page = found[: self._inbox_page]
        is_full = len(found) > len(page)
        due = [timer for timer in change.due if timer.deadline <= self._now]
        firing = [timer for timer in due if not is_full or timer.deadline <= page[-1][1]]
        if page:
            self.rows.take_signals.append((self._namespace, change.run_id, page[-1][0]))
        return merge(page, firing), is_full or len(firing) < len(due)

    def _has_signals(self, run_id: str) -> bool:
        return bool(fetch(self._db, SQL["has_signals"], (self._namespace, run_id)))


def merge(signals: Sequence[Row], timers: Sequence[DueTimer]) -> list[NewRecord]:
    """By arrival and deadline; at a tie the signal comes first. Signals keep their own order whatever the clock did."""
    arrivals = [(at, 0, number, NewRecord(RecordKind.SIGNAL, topic, output=payload)) for number, at, topic, payload in signals]
    firings = [(timer.deadline, 1, timer.number, NewRecord(RecordKind.TIMER, command=timer.number)) for timer in timers]
    return [record for *_, record in sorted(arrivals + firings, key=lambda entry: entry[:3])]
