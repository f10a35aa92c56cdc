"""Which runs become mine: due ones, and those whose owner is dead or unknown."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import apsw

from perdure.clock import Instant
from perdure.model.records import Record, RecordKind
from perdure.model.runs import RunRow
from perdure.model.troubles import TroubleKind
from perdure.store.changes import history_row
from perdure.store.damaged_text import DamagedText, as_text, raw_of
from perdure.store.pages import Pages
from perdure.store.protocol import STRIKES_ALONE, Checkpoint, Claimed, Claims
from perdure.store.rows import FENCING, INPUT_DAMAGED, damage_failure, input_checksum, run_row
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.runs import load_short
from perdure.store.sqlite.statements import Row, change, change_each, fetch, fetch_page, size_of

SQL = named_queries("claims")
INSERT_RECORD, TROUBLE = (named_queries("checkpoints")[name] for name in ("insert_record", "trouble"))

EVER = -1  # before every moment
LOADED_AT_ONCE = 4  # so many histories are read in the transaction of the claim
SHORT_RECORDS = 100
SHORT_BYTES = 256 * 1024  # of its records
IS_FIRST, OWNER_BEFORE, CHECKSUM, HAS_BEGUN = 18, 19, 20, 21  # columns of `due`, `orphaned` and `suspect` behind those of the run

Search = tuple[str, Mapping[str, str | bytes | None]]


@dataclass(frozen=True, slots=True)
class Taken:
    """What one checkpoint has claimed."""

    runs: Sequence[Claimed] = ()
    set_aside: Mapping[str, str] = field(default_factory=dict)  # runs whose row is damaged: they were quarantined instead
    has_more: bool = False
    suspects_wait: bool = False  # some run can be claimed only by a worker that has nothing else


def claim(db: apsw.Connection, namespace: str, now: Instant, batch: Checkpoint, wanted: Claims, pages: Pages) -> Taken:
    """At most a page.

    Each checkpoint begins with another workflow, and with orphans or with due runs by turns, so that nothing starves.
    """
    room, bytes_left = min(wanted.room, pages.claims), pages.claim_bytes
    if room <= 0 or not wanted.workflows:
        return Taken()
    values = {"namespace": namespace, "incarnation": batch.incarnation, "python": wanted.python, "now": now, "strikes_alone": STRIKES_ALONE}
    strikes: dict[str, int] = dict(fetch(db, SQL["strikes"], (namespace,)))
    suspect = fetch(db, SQL["suspect"], {**values, "workflows": json.dumps(wanted.workflows)}) if strikes else []
    found: list[Row] = suspect if wanted.is_alone else []
    has_more = False
    if not found:
        for statement, more in searches(db, namespace, batch.number, wanted):
            values |= {**more, "room": room - len(found)}
            page, has_more = fetch_page(db, statement, values, room, bytes_left, takes_first=not found)
            found += page
            bytes_left -= sum(map(size_of, page))
            if has_more or len(found) >= room:
                has_more = True
                break
    damages = [damage_of_claimed(row) for row in found]
    damaged = [(row, damage) for row, damage in zip(found, damages, strict=True) if damage is not None]
    are_gone = [set_aside(db, namespace, now, row, damage) for row, damage in damaged]
    sound = [row for row, damage in zip(found, damages, strict=True) if damage is None]
    claimed = take(db, namespace, now, batch.incarnation, wanted.python, sound, strikes)
    why = {as_text(row[0]): damage for row, damage in damaged}
    has_more = has_more and (bool(claimed) or any(are_gone))
    return Taken(claimed, why, has_more, bool(suspect) and not wanted.is_alone)


def damage_of_claimed(row: Row) -> str | None:
    """Of a history that is there already the checksums are looked at when it is loaded."""
    run = run_row(row)
    if run.damage is not None:
        return run.damage
    if row[HAS_BEGUN]:
        return "its row is damaged: it says that the run has never begun, but there are records of it"
    return INPUT_DAMAGED if row[IS_FIRST] and input_checksum(run) != row[CHECKSUM] else None


def set_aside(db: apsw.Connection, namespace: str, now: Instant, row: Row, damage: str) -> bool:
    """As if claimed and quarantined at once: it would be found again by every claim. Whether the database takes it so."""
    try:
        change(db, SQL["set_aside"], (namespace, raw_of(row[0]), damage_failure(damage), type(row[0]) is bytes))
    except apsw.ConstraintError:
        return False  # what is damaged of it keeps its row from being written at all: it stays as it is
    if type(row[0]) is not DamagedText:
        change(db, TROUBLE, (namespace, as_text(row[0]), TroubleKind.QUARANTINED, now))
    return True


def searches(db: apsw.Connection, namespace: str, turn: int, wanted: Claims) -> Iterator[Search]:
    """Statements, each with what it needs besides."""
    owners = dead_owners(db, namespace)
    first = turn % len(wanted.workflows)
    for workflow in wanted.workflows[first:] + wanted.workflows[:first]:
        due: list[Search] = [(SQL["due"], {"workflow": workflow, "only_python": python}) for python in ("", wanted.python)]
        orphaned: list[Search] = [(SQL["orphaned"], {"workflow": workflow, "owner": raw_of(owner)}) for owner in owners]
        yield from (*orphaned, *due) if turn // len(wanted.workflows) % 2 else (*due, *orphaned)


def dead_owners(db: apsw.Connection, namespace: str) -> Sequence[str]:
    return [owner for (owner,) in fetch(db, SQL["dead_owners"], (namespace,))]


def take(
    db: apsw.Connection, namespace: str, now: Instant, incarnation: str, python: str, found: Sequence[Row], strikes: Mapping[str, int]
) -> Sequence[Claimed]:
    change_each(db, SQL["claim"], [(namespace, row[0], raw_of(row[OWNER_BEFORE]), incarnation, python, row[FENCING]) for row in found])
    claimed = [claimed_run(run_row(row), bool(row[IS_FIRST]), now, strikes) for row in found]
    records = [history_row(namespace, one.row.id, one.row.generation, one.started) for one in claimed if one.started is not None]
    change_each(db, INSERT_RECORD, records)
    woken = [one for one in claimed if one.started is None]
    if len(woken) > LOADED_AT_ONCE:
        return claimed
    return [
        one if one.started else replace(one, loaded=load_short(db, namespace, one.row.id, SHORT_RECORDS, SHORT_BYTES)) for one in claimed
    ]


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
        fetch(db, SQL["has_orphan"], (namespace, raw_of(owner), workflow, python))
        for owner in dead_owners(db, namespace)
        for workflow in workflows
    )
