"""Holds what a worker knows against what is there."""

from collections.abc import Sequence

import apsw

from perdure.clock import Instant
from perdure.model.lost_records import Known, LostRecords
from perdure.model.troubles import TroubleKind
from perdure.store.lost_records import failure, lost
from perdure.store.sqlite.claims import SQL as CLAIMS
from perdure.store.sqlite.claims import TROUBLE
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.statements import change, fetch

LAST_POSITION = named_queries("runs")["last_position"]


def set_aside_lost(db: apsw.Connection, namespace: str, now: Instant, known: Sequence[Known]) -> Sequence[LostRecords]:
    rows = [row for one in known for row in fetch(db, LAST_POSITION, (namespace, one.run_id))]
    told = lost(known, rows)
    for one, is_unfinished in told:
        if is_unfinished:
            change(db, CLAIMS["set_aside"], (namespace, one.known.run_id, failure(one), False))
            change(db, TROUBLE, (namespace, one.known.run_id, TroubleKind.QUARANTINED, now))
    return [one for one, _ in told]
