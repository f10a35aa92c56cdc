"""Writes the rows of one checkpoint: those of every day in one statement with the fence, the rare ones after it."""

from collections.abc import Sequence
from typing import Any

from perdure.clock import SECOND, Instant
from perdure.store.changes import NOTHING_KEPT, Rows
from perdure.store.postgresql.columns import columns
from perdure.store.postgresql.looking import Seen
from perdure.store.postgresql.scope import Scope
from perdure.store.postgresql.statements import Statements
from perdure.store.protocol import Checkpoint
from perdure.store.rows import Row

UNTOLD_KEPT = 3 * 86400 * SECOND  # a trouble that nobody asked for is forgotten then: no engine of the store wants to be told
UNTOLD_PAGE = 1000
HISTORY_WIDTH = 13
RARE = ("clear_strikes", "open_generation", "outdate", "meet", "tell_cancel", "forget_requests", "fail_attempt", "intend", "trouble")


async def write_common(db: Statements, scope: Scope, batch: Checkpoint, rows: Rows, seen: Seen) -> bool:
    """The fence, records, what becomes of runs, attempts that are over, signals that were taken. False: the fence stood.

    Raises DivisionByZeroError where something is not as it was seen, or taken for granted.
    """
    fence = (scope.namespace, batch.incarnation, batch.number, batch.lease, scope.lease_now())
    history = columns((row[1:] for row in rows.history), HISTORY_WIDTH)
    runs, over, taken = changed_runs(rows, seen), attempts_over(rows), signals_taken(rows, seen)
    if not (runs or over or taken or seen.unseen):
        answer = await db.fetchrow(scope.sql("checkpoints", "append"), *fence, *history, moment_to_check(scope, seen))
    else:
        values = (*history, moment_to_check(scope, seen), *columns(runs, 13), *columns(over, 3), *columns(taken, 3), seen.unseen)
        answer = await db.fetchrow(scope.sql("checkpoints", "write"), *fence, *values)
    assert answer is not None
    passed, now, _ = answer
    scope.hear(now)
    return bool(passed)


def moment_to_check(scope: Scope, seen: Seen) -> Instant | None:
    """None: the database has said it, or a clock that is not its own."""
    return seen.now if seen.is_foreseen and scope.clock is None else None


def rare_rows(rows: Rows) -> dict[str, Sequence[Row]]:
    """By the name of their statement. Of a command that is over nothing is known any more, nor of any of a run that ends."""
    settled = set(rows.settle)
    ended = set(rows.forget_attempts)
    failing = ended | set(rows.forget_tries)
    given: dict[str, list[Row]] = {
        "clear_strikes": rows.clear_strikes,
        "open_generation": rows.open_generation,
        "outdate": rows.outdate,
        "meet": rows.met,
        "tell_cancel": rows.tell_cancel,
        "forget_requests": rows.forget_requests,
        "fail_attempt": [row for row in rows.fail_attempt if row[:3] not in settled and row[:2] not in failing],
        "intend": [row for row in rows.intend if row[:3] not in settled and row[:2] not in ended],
        "trouble": rows.trouble,
    }
    return {name: found for name, found in given.items() if found}


async def write_rare(db: Statements, scope: Scope, rare: dict[str, Sequence[Row]]) -> None:
    for name, rows in rare.items():
        await db.executemany(scope.sql("checkpoints", name), rows)
    if "trouble" in rare:
        now = rare["trouble"][0][3]
        await db.execute(scope.sql("checkpoints", "forget_untold"), scope.namespace, now - UNTOLD_KEPT, UNTOLD_PAGE)


# ── rows as the statement wants them ─────────────────────────────────────────────────────────────────────────────────


def changed_runs(rows: Rows, seen: Seen) -> list[Row]:
    """In the order of ids: whoever locks several rows locks them so."""
    found = [
        *(changed(run, kept, None) for _, run, _, *kept in rows.note),
        *(
            changed(run, kept, seen, "waiting", wake, waiting, needs_python=needs)
            for _, run, _, wake, waiting, needs, *kept in rows.give_up
        ),
        *(changed(run, kept, seen, "paused", None, waiting) for _, run, _, waiting, *kept in rows.put_aside),
        *(changed(run, kept, seen, "quarantined", error=error) for _, run, _, error, *kept in rows.quarantine),
        *(
            changed(run, (None, note, None), seen, "waiting", now, generation=number, python=python)
            for _, run, _, number, now, note, python in rows.succeed
        ),
        *(changed(run, kept, seen, state, ended_at=at) for _, run, _, state, at, *kept in rows.finish),
    ]
    return sorted(found, key=lambda row: str(row[0]))


def changed(
    run_id: str,
    kept: Sequence[Any],
    seen: Seen | None,
    state: str | None = None,
    wake_at: int | None = None,
    waiting_for: bytes | None = None,
    *,
    ended_at: int | None = None,
    error: bytes | None = None,
    needs_python: bool = False,
    generation: int | None = None,
    python: str | None = None,
) -> Row:
    """Columns of `new` in the statement. Without `seen` whatever is wanted of the run does not matter."""
    issued, note, reached = kept or NOTHING_KEPT
    wishes = None if seen is None else seen.changed_wishes.get(run_id)
    return run_id, state, ended_at, wake_at, waiting_for, error, needs_python, generation, issued, note, reached, python, wishes


def attempts_over(rows: Rows) -> list[Row]:
    """Run, command (None: all), whether intents stay."""
    tries = set(rows.forget_tries)
    return [
        *((run, command, False) for _, run, command in rows.settle),
        *((run, None, False) for _, run in rows.forget_attempts),
        *((run, None, True) for _, run in rows.forget_tries),
        *((run, command, False) for namespace, run, command, *_ in rows.fail_attempt if (namespace, run) in tries),
    ]


def signals_taken(rows: Rows, seen: Seen) -> list[Row]:
    """Run, number and id of each signal."""
    return [(run, number, signal_id) for _, run, upto in rows.take_signals for number, signal_id in seen.taken(run, upto)]
