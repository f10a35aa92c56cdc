"""Which runs become mine: due ones, and those whose owner is dead or unknown."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import apsw

from perdure.clock import Instant
from perdure.model.records import Record, RecordKind
from perdure.model.runs import RunRow
from perdure.store.changes import history_row
from perdure.store.protocol import STRIKES_ALONE, Checkpoint, Claimed, Claims
from perdure.store.rows import run_row
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.runs import load_short
from perdure.store.sqlite.statements import Row, change_each, fetch

SQL = named_queries("claims")
INSERT_RECORD = named_queries("checkpoints")["insert_record"]

EVER = -1  # before every moment
LOADED_AT_ONCE = 4  # so many histories are read in the transaction of the claim
SHORT_RECORDS = 100
IS_FIRST, OWNER_BEFORE = 17, 18  # columns of `due` and `orphaned` behind those of the run


def claim(
    db: apsw.Connection, namespace: str, now: Instant, batch: Checkpoint, wanted: Claims, page: int
) -> tuple[Sequence[Claimed], bool]:
    """At most a page, and whether a suspect waits for a worker that has nothing else.

    Each checkpoint begins with another workflow, and with orphans or with due runs by turns, so that nothing starves.
    """
    room = min(wanted.room, page)
    if room <= 0 or not wanted.workflows:
        return (), False
    values = {"namespace": namespace, "incarnation": batch.incarnation, "python": wanted.python, "now": now, "strikes_alone": STRIKES_ALONE}
    strikes: dict[str, int] = dict(fetch(db, SQL["strikes"], (namespace,)))
    suspect = fetch(db, SQL["suspect"], {**values, "workflows": json.dumps(wanted.workflows)}) if strikes else []
    found: list[Row] = suspect if wanted.is_alone else []
    if not found:
        for statement, more in searches(db, namespace, batch.number, wanted):
            found += fetch(db, statement, {**values, **more, "room": room - len(found)})
            if len(found) >= room:
                break
    return take(db, namespace, now, batch.incarnation, wanted.python, found, strikes), bool(suspect) and not wanted.is_alone


def searches(db: apsw.Connection, namespace: str, turn: int, wanted: Claims) -> Iterator[tuple[str, dict[str, str]]]:
    """Statements, each with what it needs besides."""
    owners = dead_owners(db, namespace)
    first = turn % len(wanted.workflows)
    for workflow in wanted.workflows[first:] + wanted.workflows[:first]:
        due = [(SQL["due"], {"workflow": workflow, "only_python": python}) for python in ("", wanted.python)]
        orphaned = [(SQL["orphaned"], {"workflow": workflow, "owner": owner}) for owner in owners]
        yield from (*orphaned, *due) if turn // len(wanted.workflows) % 2 else (*due, *orphaned)


def dead_owners(db: apsw.Connection, namespace: str) -> Sequence[str]:
    return [owner for (owner,) in fetch(db, SQL["dead_owners"], (namespace,))]


def take(
    db: apsw.Connection, namespace: str, now: Instant, incarnation: str, python: str, found: Sequence[Row], strikes: Mapping[str, int]
) -> Sequence[Claimed]:
    change_each(db, SQL["claim"], [(namespace, row[0], row[OWNER_BEFORE], incarnation, python) for row in found])
    claimed = [claimed_run(run_row(row), bool(row[IS_FIRST]), now, strikes) for row in found]
    records = [history_row(namespace, one.row.id, one.row.generation, one.started) for one in claimed if one.started is not None]
    change_each(db, INSERT_RECORD, records)
    woken = [one for one in claimed if one.started is None]
    if len(woken) > LOADED_AT_ONCE:
        return claimed
    return [one if one.started else replace(one, loaded=load_short(db, namespace, one.row.id, SHORT_RECORDS)) for one in claimed]


def claimed_run(run: RunRow, is_first: bool, now: Instant, strikes: Mapping[str, int]) -> Claimed:
    """The time of a run begins when it is claimed first, not when it was asked for."""
    started = Record(1, max(now, run.created_at), RecordKind.STARTED, run.workflow) if is_first else None
    return Claimed(run, started, strikes.get(run.id, 0))


def owned(db: apsw.Connection, namespace: str, incarnation: str) -> frozenset[str]:
    return frozenset(run_id for (run_id,) in fetch(db, SQL["owned"], (namespace, incarnation)))


def owned_count(db: apsw.Connection, namespace: str, incarnation: str) -> int:
    return len(owned(db, namespace, incarnation))


# ── what is there to claim ───────────────────────────────────────────────────────────────────────────────────────────


def next_due(db: apsw.Connection, namespace: str, workflows: Sequence[str], python: str, after: Instant) -> Instant | None:
    moments = [
        moment
        for workflow in workflows
        for only_python in ("", python)
        for (moment,) in fetch(db, SQL["next_due"], (namespace, workflow, only_python, after))
        if moment is not None
    ]
    return min(moments, default=None)


def has_claimable(db: apsw.Connection, namespace: str, now: Instant, workflows: Sequence[str], python: str) -> bool:
    moment = next_due(db, namespace, workflows, python, EVER)
    if moment is not None and moment <= now:
        return True
    return any(
        fetch(db, SQL["has_orphan"], (namespace, owner, workflow, python)) for owner in dead_owners(db, namespace) for workflow in workflows
    )
