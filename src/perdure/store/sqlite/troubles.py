"""Troubles that somebody is to be told of: given out one holder at a time, kept until they were told."""

import json
from collections.abc import Sequence

import apsw

from perdure.clock import Clock, Instant, Microseconds
from perdure.errors import CorruptedHistory
from perdure.model.states import RunState
from perdure.model.troubles import TroubleKind, TroubleRow
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.runs import last_record, read_run
from perdure.store.sqlite.statements import change, fetch
from perdure.store.troubles import described

SQL = named_queries("troubles")
KINDS = {kind.value for kind in TroubleKind}


def has_due(db: apsw.Connection, namespace: str, now: Instant) -> bool:
    return bool(fetch(db, SQL["due"], (namespace, now, 1)))


def take(db: apsw.Connection, namespace: str, clock: Clock, limit: int, hold: Microseconds) -> Sequence[TroubleRow]:
    """Those that are not true any more (the run was resumed, retried, deleted) are forgotten instead."""
    now = clock.now()
    taken = []
    for run_id, kind, at, tries in fetch(db, SQL["due"], (namespace, now, limit)):
        if kind not in KINDS:
            kind = mend_kind(db, namespace, run_id)
        error = error_of_end(db, namespace, run_id) if kind == TroubleKind.FAILED else None
        trouble = described(read_run(db, namespace, run_id), error, TroubleKind(kind), at, tries + 1)
        if trouble is None:
            change(db, SQL["forget"], (namespace, run_id, kind, at))
        else:
            change(db, SQL["take"], (namespace, run_id, now + hold))
            taken.append(trouble)
    return taken


def mend_kind(db: apsw.Connection, namespace: str, run_id: str) -> str:
    """The row is damaged: where its run stands says what it was about."""
    run = read_run(db, namespace, run_id)
    ended_badly = run is not None and run.state in (RunState.FAILED, RunState.QUARANTINED)
    kind = run.state.value if run is not None and ended_badly else TroubleKind.STRANDED.value
    change(db, SQL["mend"], (namespace, run_id, kind))
    return kind


def error_of_end(db: apsw.Connection, namespace: str, run_id: str) -> bytes | None:
    """What the run failed with. One that is damaged is told as that: it must not keep the others from being told."""
    try:
        last = last_record(db, namespace, run_id)
    except CorruptedHistory as damage:
        return json.dumps({"type": "perdure.errors.CorruptedHistory", "message": str(damage)}).encode()
    return None if last is None else last.error


def settle(db: apsw.Connection, namespace: str, clock: Clock, trouble: TroubleRow, again_after: Microseconds | None) -> None:
    same = (namespace, trouble.run_id, trouble.kind, trouble.at)
    if again_after is not None:
        change(db, SQL["put_off"], (*same, clock.now() + again_after))
    elif trouble.kind is TroubleKind.STRANDED:
        change(db, SQL["told"], same)  # kept, so that the next look does not find it anew
    else:
        change(db, SQL["forget"], same)
