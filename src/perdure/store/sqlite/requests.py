"""What people want of a run: it is done at once where nobody owns the run, else it waits for the owner as a row."""

from collections.abc import Iterator

import apsw

from perdure.clock import Clock, Instant, Microseconds
from perdure.errors import CorruptedHistory, NotRetryable, RunEnded, RunNotFound
from perdure.model.records import NewRecord, Record, RecordKind
from perdure.model.runs import RunRow
from perdure.model.states import RunState
from perdure.settings import DEFAULTS
from perdure.store.changes import history_row
from perdure.store.sqlite.generations import generation
from perdure.store.sqlite.inbox import sound_signals
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.runs import read_run
from perdure.store.sqlite.signals import last_arrival
from perdure.store.sqlite.statements import change, fetch, fetch_page
from perdure.store.wishes import CANCEL, PAUSE, cancel_record

SQL = named_queries("requests")
RECORDS = named_queries("checkpoints")
FORGET_TROUBLE = named_queries("removal")["troubles"]


def cancel(db: apsw.Connection, namespace: str, clock: Clock, run_id: str, grace: Microseconds) -> None:
    row = existing(db, namespace, run_id)
    now = clock.now()
    if row.state is RunState.CANCELLED:
        return
    if row.state.is_final:
        raise RunEnded(f"run {run_id} has ended ({row.state}) and cannot be cancelled any more; nothing was changed")
    if row.state is RunState.QUARANTINED or row.python is None:
        end_unclaimed(db, namespace, row, now, grace)
        return
    arrived_at = max(now, last_arrival(db, namespace, run_id) + 1)
    if not change(db, SQL["insert"], (namespace, run_id, CANCEL, arrived_at, grace)):
        return  # a repeat
    change(db, SQL["delete"], (namespace, run_id, PAUSE))
    change(db, SQL["wake"], (namespace, run_id, now))


def end_cancelled(db: apsw.Connection, namespace: str, clock: Clock, run_id: str) -> None:
    """A run that has been quarantined although a cancel was waiting for it ends as it would have if that had come now."""
    row = read_run(db, namespace, run_id)
    wanted = fetch(db, SQL["grace"], (namespace, run_id))
    if row is not None and row.damage is None and row.state is RunState.QUARANTINED and wanted:
        try:
            end_unclaimed(db, namespace, row, clock.now(), wanted[0][0])
        except CorruptedHistory:
            return  # raised before anything is written: it stays quarantined, and whoever looks at it meets the damage
        change(db, FORGET_TROUBLE, (namespace, run_id))


def end_unclaimed(db: apsw.Connection, namespace: str, row: RunRow, now: Instant, grace: Microseconds) -> None:
    """Nobody owns it, and its code is not to be run: it ends here, with the records that it would have ended with there."""
    run = (namespace, row.id)
    position, at = fetch(db, SQL["last"], (*run, row.generation))[0]
    if position is None:
        position, at = generation(db, namespace, row.id, row.generation).base_position, row.created_at
    at = max(now, at)
    was_told = any(told_at is not None for (told_at,) in fetch(db, SQL["cancel_of"], run))
    for number, new in enumerate(last_records(db, namespace, row, None if was_told else grace), position + 1):
        record = Record(number, at, new.kind, new.name, input=new.input, output=new.output, error=new.error)
        change(db, RECORDS["insert_record"], history_row(namespace, row.id, row.generation, record))
    change(db, SQL["end_unclaimed"], (*run, at))
    for statement in (RECORDS["forget_attempts"], RECORDS["clear_strikes"], RECORDS["forget_requests"]):
        change(db, statement, run)


def last_records(db: apsw.Connection, namespace: str, row: RunRow, grace: Microseconds | None) -> Iterator[NewRecord]:
    """The signals that it has not received, out of its inbox, but for damaged ones; the cancel, unless it was told; its end."""
    signals_most = DEFAULTS.inbox_page
    while page := fetch_page(db, RECORDS["signals"], (namespace, row.id, signals_most), signals_most, DEFAULTS.inbox_page_bytes)[0]:
        for _, _, _, topic, payload, _ in sound_signals(row.id, page, drops_damaged=True):
            yield NewRecord(RecordKind.SIGNAL, topic, output=payload)
        change(db, RECORDS["take_signals"], (namespace, row.id, page[-1][0]))
    if grace is not None:
        yield cancel_record(grace)
    yield NewRecord(RecordKind.CANCELLED, row.workflow, error=row.error)


def pause(db: apsw.Connection, namespace: str, clock: Clock, run_id: str) -> None:
    row = existing(db, namespace, run_id)
    match row.state:
        case RunState.PAUSED:
            return
        case RunState.QUARANTINED:
            raise NotRetryable(f"run {run_id} is quarantined and does not run until it is resumed; nothing was changed")
        case RunState.PENDING | RunState.WAITING | RunState.RUNNING:
            if fetch(db, SQL["cancel_of"], (namespace, run_id)):
                raise NotRetryable(f"run {run_id} is being cancelled and cannot be paused; nothing was changed")
            if not change(db, SQL["pause"], (namespace, run_id)):
                change(db, SQL["insert"], (namespace, run_id, PAUSE, clock.now(), None))
        case _:
            raise RunEnded(f"run {run_id} has ended ({row.state}) and cannot be paused; nothing was changed")


def resume(db: apsw.Connection, namespace: str, clock: Clock, run_id: str) -> None:
    row = existing(db, namespace, run_id)
    if row.state.is_final:
        raise RunEnded(f"run {run_id} has ended ({row.state}) and cannot be resumed; nothing was changed")
    change(db, SQL["resume"], (namespace, run_id, clock.now()))
    change(db, SQL["delete"], (namespace, run_id, PAUSE))
    change(db, RECORDS["clear_strikes"], (namespace, run_id))


def existing(db: apsw.Connection, namespace: str, run_id: str) -> RunRow:
    """Raises RunNotFound, and CorruptedHistory where its row is damaged: then nobody knows what may be done with it."""
    row = read_run(db, namespace, run_id)
    if row is None:
        raise RunNotFound(f"there is no run {run_id!r} in namespace {namespace!r}; nothing was changed")
    if row.damage is not None:
        raise CorruptedHistory(f"run {run_id}: {row.damage}; nothing was changed: put its row of table runs right from a backup first")
    return row
