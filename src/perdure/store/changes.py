"""What runs have to record becomes rows: of many runs they are gathered, so that a few statements write them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, assert_never

from perdure.clock import Instant
from perdure.errors import CorruptedHistory, PerdureError
from perdure.model.records import NewRecord, Record, RecordKind
from perdure.model.states import RunState
from perdure.model.troubles import TroubleKind
from perdure.store.calls import Call
from perdure.store.endings import Continue, Ending, Finish, Park, PutAside, Quarantine, Release
from perdure.store.generations import Generation, generation_row
from perdure.store.protocol import Change, DueTimer, Written
from perdure.store.rows import Row
from perdure.store.wishes import CANCEL, NOTHING, PAUSE, Wish, cancel_record

NEVER = -1  # before every moment
NOTHING_KEPT = (None, None, None)


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
    put_aside: list[Row] = field(default_factory=list)
    met: list[Row] = field(default_factory=list)
    tell_cancel: list[Row] = field(default_factory=list)
    forget_requests: list[Row] = field(default_factory=list)
    succeed: list[Row] = field(default_factory=list)
    open_generation: list[Row] = field(default_factory=list)
    outdate: list[Row] = field(default_factory=list)
    forget_attempts: list[Row] = field(default_factory=list)
    forget_tries: list[Row] = field(default_factory=list)
    trouble: list[Row] = field(default_factory=list)


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


class Lookup(Protocol):
    """What has to be known of a run before its rows can be made, as of the transaction that will write them."""

    def wishes(self, run_id: str) -> Mapping[str, Wish]:
        """What is wanted of it that it was not told yet."""

    def page(self, run_id: str) -> tuple[Sequence[Row], bool]:
        """Its oldest undelivered signals: number, arrival, id, topic, payload, checksum; and whether there are more."""

    def sound(self, run_id: str, page: Sequence[Row], *, drops_damaged: bool) -> Sequence[Row]:
        """Raises CorruptedHistory where one is damaged, unless these are to be dropped."""

    def has_signals(self, run_id: str) -> bool: ...

    def last(self, change: Change) -> Row:
        """Position and time of the last record of its generation."""

    def key_generation(self, change: Change) -> int:
        """Of its generation."""

    def perform(self, call: Call) -> NewRecord | BaseException | None:
        """Its record, or what it raised, with nothing of it left; None where there is no time left for it."""


class Gathering:
    """Turns changes into rows. Writes nothing itself but what transactional steps write."""

    def __init__(self, lookup: Lookup, namespace: str, incarnation: str, now: Instant) -> None:
        self.rows = Rows()
        self._lookup = lookup
        self._namespace = namespace
        self._incarnation = incarnation
        self._now = now

    def add(self, change: Change) -> Written:
        wishes = NOTHING
        if change.reads_inbox or change.ending is not None:
            wishes = self._lookup.wishes(change.run_id)
        is_pausing = PAUSE in wishes
        new = change.records
        raised: list[tuple[int, BaseException]] = []
        if change.calls and not is_pausing:
            new = new + self._performed(change.calls, raised)
        ending = change.ending and self._decided(change.ending, wishes)
        if isinstance(ending, Finish) and isinstance(change.ending, Quarantine):
            change = self._behind_all(change)
        has_more = is_put_off = False
        damage = None
        if isinstance(ending, Finish) or (change.reads_inbox and not is_pausing):
            try:
                arrivals, has_more = self._arrivals(change, ending, wishes.get(CANCEL))
                is_put_off = has_more and not arrivals
                new = new + arrivals
            except CorruptedHistory as error:
                change, damage = replace(change, intents=()), str(error)
        if isinstance(ending, Finish) and (has_more or damage is not None):
            ending = None  # what was acknowledged before the end is recorded before it
        if isinstance(ending, Finish | Continue):
            new = [*new, *self._last_records(ending, new, wishes)]
        at = max(self._now, change.at)
        records = self._record(change, new, at)
        if change.failures or change.intents or change.settled:
            self._attempts(change, at)
        if change.clears_strikes:
            self.rows.clear_strikes.append((self._namespace, change.run_id))
        if not isinstance(change.ending, Park | PutAside):
            self._end_or_note(change, ending, at, wishes)
            return Written(change.run_id, records, has_more, ending is not None, is_pausing, raised, damage, is_put_off)
        has_news = any(record.kind is not RecordKind.PATCHED for record in records)
        is_quiet = is_pausing if isinstance(ending, PutAside) else not has_more and not self._lookup.has_signals(change.run_id)
        is_over = is_quiet and not has_news
        self._end_or_note(change, ending if is_over else None, at, wishes)
        has_more = has_more or (not is_over and not records)
        return Written(change.run_id, records, has_more, is_over, is_pausing, raised, damage, is_put_off)

    def _performed(self, calls: Sequence[Call], raised: list[tuple[int, BaseException]]) -> list[NewRecord]:
        """The records of those that succeed."""
        records = []
        for call in calls:
            outcome = self._lookup.perform(call)
            if isinstance(outcome, BaseException):
                raised.append((call.command, outcome))
            elif outcome is not None:
                records.append(outcome)
                if call.settles:
                    self.rows.settle.append((self._namespace, call.run_id, call.command))
        return records

    def _behind_all(self, change: Change) -> Change:
        """Of a run that stopped in the middle of its history: what is written of it comes after all that is there."""
        position, at = self._lookup.last(change)
        return replace(change, position=position or change.position, at=max(change.at, at or change.at))

    def _decided(self, ending: Ending, wishes: Mapping[str, Wish]) -> Ending:
        """A cancel that came before the end decides how it ends; a run that is to be paused is put aside where it is given up."""
        match ending:
            case Finish(state=state, record=record, stands=False) if CANCEL in wishes and state is not RunState.CANCELLED:
                return Finish(RunState.CANCELLED, NewRecord(RecordKind.CANCELLED, record.name, error=record.error))
            case Quarantine(error=error) if CANCEL in wishes:
                return Finish(RunState.CANCELLED, NewRecord(RecordKind.CANCELLED, error=error))
            case Park(waiting_for=waiting_for) if PAUSE in wishes:
                return PutAside(waiting_for)
            case Release() if PAUSE in wishes:
                return PutAside(b"[]")
        return ending

    def _last_records(self, ending: Finish | Continue, new: Sequence[NewRecord], wishes: Mapping[str, Wish]) -> list[NewRecord]:
        if isinstance(ending, Finish) and CANCEL in wishes and not any(one.kind is RecordKind.CANCEL for one in new):
            return [cancel_record(wishes[CANCEL][1]), ending.record]
        return [ending.record]

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

    def _end_or_note(self, change: Change, ending: Ending | None, at: Instant, wishes: Mapping[str, Wish]) -> None:
        mine, kept = self._mine(change), kept_of(change)
        met: Iterable[str] = ()
        match ending:
            case Finish(state=state):
                self.rows.finish.append((*mine, state, at, *kept))
                (self.rows.forget_tries if state is RunState.FAILED else self.rows.forget_attempts).append(mine[:2])
                if wishes or state is not RunState.COMPLETED:  # a run that was told of a cancel does not complete
                    self.rows.forget_requests.append(mine[:2])
                if state is RunState.FAILED:
                    self.rows.trouble.append((*mine[:2], TroubleKind.FAILED, self._now))
            case Quarantine(error=error):
                self.rows.quarantine.append((*mine, error, *kept))
                self.rows.trouble.append((*mine[:2], TroubleKind.QUARANTINED, self._now))
                met = wishes
            case Park(wake_at=wake_at, waiting_for=waiting_for):
                self.rows.give_up.append((*mine, wake_at, waiting_for, False, *kept))
            case PutAside(waiting_for=waiting_for):
                self.rows.put_aside.append((*mine, waiting_for, *kept))
                met = (PAUSE,)
            case Release(wake_at=wake_at, needs_python=needs_python):
                self.rows.give_up.append((*mine, self._now if wake_at is None else wake_at, None, needs_python, *kept))
            case Continue():
                self._continue(change, ending, at)
            case None:
                if kept != NOTHING_KEPT:
                    self.rows.note.append((*mine, *kept))
            case _:
                assert_never(ending)
        self.rows.met.extend((*mine[:2], kind) for kind in met)

    def _continue(self, change: Change, ending: Continue, at: Instant) -> None:
        run, number = (self._namespace, change.run_id), change.generation + 1
        opened = Generation(number, "continue", None, 0, number, ending.input)
        self.rows.open_generation.append(generation_row(*run, opened, at))
        new = [NewRecord(RecordKind.STARTED, ending.record.name), *ending.carried]
        self._record(replace(change, generation=number, position=0), new, at)
        self.rows.succeed.append((*self._mine(change), number, self._now, change.note, ending.python))
        oldest = self._lookup.key_generation(change)  # what it was retried from belongs to it
        if oldest:
            self.rows.outdate.append((*run, oldest))
        self.rows.forget_attempts.append(run)

    def _mine(self, change: Change) -> tuple[str, str, str]:
        return (self._namespace, change.run_id, self._incarnation)

    # ── the inbox ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _arrivals(self, change: Change, ending: Ending | None, cancel: Wish | None) -> tuple[list[NewRecord], bool]:
        """Signals, a cancel and due timers in order of arrival and deadline, and whether some were left for the next checkpoint.

        Raises CorruptedHistory where a signal is damaged, unless the run ends cancelled: then no code will ever receive it.
        """
        page, is_full = self._lookup.page(change.run_id)
        if isinstance(ending, Finish):
            cancel = None
        sound = self._lookup.sound(change.run_id, page, drops_damaged=isinstance(ending, Finish) and ending.state is RunState.CANCELLED)
        read_up_to = page[-1][1] if page else NEVER
        due = [timer for timer in change.due if timer.deadline <= self._now]
        firing = [timer for timer in due if not is_full or timer.deadline <= read_up_to]
        if page:
            self.rows.take_signals.append((self._namespace, change.run_id, page[-1][0]))
        if cancel is not None and is_full and cancel[0] > read_up_to:
            cancel = None  # it comes after signals that are still in the inbox
        elif cancel is not None:
            self.rows.tell_cancel.append((self._namespace, change.run_id, self._now))
        return merge(sound, firing, cancel), is_full or len(firing) < len(due)


def kept_of(change: Change) -> tuple[int | None, bytes | None, int | None]:
    """What the run's row keeps besides its state: commands issued, the note, the record whose activation is over."""
    return (change.issued, change.note, None if change.issued is None else change.position)


def merge(signals: Sequence[Row], timers: Sequence[DueTimer], cancel: Wish | None = None) -> list[NewRecord]:
    """By arrival and deadline; at a tie signals come first, timers last. Signals keep their own order whatever the clock did."""
    arrivals = [
        (at, 0, number, NewRecord(RecordKind.SIGNAL, topic, output=payload)) for number, at, _id, topic, payload, _checksum in signals
    ]
    if cancel is not None:
        arrivals.append((cancel[0], 1, 0, cancel_record(cancel[1])))
    firings = [(timer.deadline, 2, timer.number, NewRecord(RecordKind.TIMER, command=timer.number)) for timer in timers]
    return [record for *_, record in sorted(arrivals + firings, key=lambda entry: entry[:3])]
