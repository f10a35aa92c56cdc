"""Troubles that somebody is to be told of: given out one holder at a time, kept until they were told."""

from collections.abc import Sequence

import apsw

from perdure.clock import Clock, Instant, Microseconds
from perdure.model.troubles import TroubleKind, TroubleRow
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.runs import last_record, read_run
from perdure.store.sqlite.statements import change, fetch
from perdure.store.troubles import described

SQL = named_queries("troubles")


def has_due(db: apsw.Connection, namespace: str, now: Instant) -> bool:
    return bool(fetch(db, SQL["due"], (namespace, now, 1)))


def take(db: apsw.Connection, namespace: str, clock: Clock, limit: int, hold: Microseconds) -> Sequence[TroubleRow]:
    """Those that are not true any more (the run was resumed, retried, deleted) are forgotten instead."""
    now = clock.now()
    taken = []
    for run_id, kind, at, tries in fetch(db, SQL["due"], (namespace, now, limit)):
        last = last_record(db, namespace, run_id) if kind == TroubleKind.FAILED else None
        trouble = described(read_run(db, namespace, run_id), last, TroubleKind(kind), at, tries + 1)
        if trouble is None:
            change(db, SQL["forget"], (namespace, run_id, kind, at))
        else:
            change(db, SQL["take"], (namespace, run_id, now + hold))
            taken.append(trouble)
    return taken


def settle(db: apsw.Connection, namespace: str, clock: Clock, trouble: TroubleRow, again_after: Microseconds | None) -> None:
    same = (namespace, trouble.run_id, trouble.kind, trouble.at)
    if again_after is not None:
        change(db, SQL["put_off"], (*same, clock.now() + again_after))
    elif trouble.kind is TroubleKind.STRANDED:
        change(db, SQL["told"], same)  # kept, so that the next look does not find it anew
    else:
        change(db, SQL["forget"], same)
