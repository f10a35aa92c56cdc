"""What has gathered for one run becomes the change that a checkpoint writes."""

from perdure.engine.live import LiveRun
from perdure.model.records import NewRecord, RecordKind
from perdure.store.calls import Call
from perdure.store.endings import Park, PutAside
from perdure.store.protocol import Change, DueTimer


def change_of(run: LiveRun, rows: int, now: int) -> Change:
    """Take what has gathered for a run, up to a number of records. What ends its stay goes with the last of them."""
    execution = run.execution
    records, run.records = run.records, []
    if len(records) > rows:
        records, run.records = records[:rows], records[rows:]
    if execution.marks.fresh and run.stands:
        records = [*(NewRecord(RecordKind.PATCHED, mark) for mark in execution.marks.take()), *records]
    takes_in = run.ending is None or isinstance(run.ending, Park | PutAside)
    reads_inbox = takes_in and (run.reads_inbox or run.ending is not None or bool(execution.due(now)))
    # All that come next, for the store may be busy: where the inbox is read later than now, they come before what has arrived after them.
    due = tuple(DueTimer(deadline, number) for deadline, number in execution.upcoming(rows)) if reads_inbox else ()
    change = Change(
        run.id,
        run.row.generation,
        execution.position,
        execution.at,
        records,
        due,
        reads_inbox,
    )
    if run.attempt_news is not None:
        _take_attempt_news(run, change)
    run.reads_inbox = False
    run.is_in_flight = True
    change.clears_strikes = run.strikes > 0 and (bool(records) or run.ending is not None)
    if run.stands and (change.failures or change.intents or run.ending is not None):
        change.issued = execution.issued
    if run.stands and execution.note != run.stored_note:
        change.note = run.stored_note = execution.note
    if not run.records and run.ending is not None:
        change.ending, run.ending = run.ending, None
        run.is_leaving = True
    return change


def change_of_enclosed(run: LiveRun, call: Call) -> Change:
    """Only the call, and what the code has passed on its way to it."""
    execution = run.execution
    marks = execution.marks.take() if execution.marks.fresh and run.stands else ()
    run.is_in_flight = True
    return Change(
        run.id,
        run.row.generation,
        execution.position,
        execution.at,
        [NewRecord(RecordKind.PATCHED, mark) for mark in marks],
        clears_strikes=run.strikes > 0,
        calls=[call],
    )


def _take_attempt_news(run: LiveRun, change: Change) -> None:
    news, run.attempt_news = run.about_attempts(), None
    change.settled, change.failures, change.intents = news.settled, news.failures, news.intents
    change.calls = [call for call in news.calls if not call.attempt.is_over]
    if run.records:  # what is known of a step's attempts goes in the same transaction as its outcome, not before
        later = {record.command for record in run.records}
        kept = [command for command in news.settled if command in later]
        if kept:
            run.about_attempts().settled = kept
        change.settled = [command for command in news.settled if command not in later]
