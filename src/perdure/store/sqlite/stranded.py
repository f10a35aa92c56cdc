"""Runs that nobody who is alive can take: their workflow or their Python is known to no live worker."""

import json
from collections.abc import Iterator, Sequence

import apsw

from perdure.clock import Instant, Microseconds
from perdure.model.troubles import Stranded
from perdure.store.damaged_text import raw_of
from perdure.store.sqlite.claims import dead_owners
from perdure.store.sqlite.statements import Row, change_each, fetch
from perdure.store.sqlite.troubles import SQL
from perdure.store.sqlite.workers import listed
from perdure.store.stranded import Knowledge, fresh, over


def stranded(db: apsw.Connection, namespace: str, now: Instant, due_for: Microseconds, limit: int) -> Sequence[Stranded]:
    """At most `limit`: runs that have been due for so long, and all that belong to the dead, with nobody to take them."""
    knowledge = Knowledge(listed(db, namespace))
    found: list[Stranded] = []
    for one in _candidates(db, namespace, now, due_for, limit, knowledge):
        found.append(one)
        if len(found) >= limit:
            break
    return found


def _candidates(
    db: apsw.Connection, namespace: str, now: Instant, due_for: Microseconds, limit: int, knowledge: Knowledge
) -> Iterator[Stranded]:
    for workflow, only_python in _due_groups(db, namespace):
        if only_python not in knowledge.pythons(workflow):
            for run_id, wake_at in fetch(db, SQL["long_due"], (namespace, raw_of(workflow), raw_of(only_python), now - due_for, limit)):
                yield Stranded(run_id, workflow, only_python, wake_at)
    for owner in dead_owners(db, namespace):
        for workflow in _workflows_of(db, namespace, owner):
            takers = json.dumps(sorted(knowledge.pythons(workflow)))
            for (run_id,) in fetch(db, SQL["orphans"], (namespace, raw_of(owner), raw_of(workflow), takers, limit)):
                yield Stranded(run_id, workflow, "", None)


def _due_groups(db: apsw.Connection, namespace: str) -> Iterator[tuple[str, str]]:
    """From group to group, not from run to run."""
    last = ("", "")
    while rows := fetch(db, SQL["next_due_group"], (namespace, *map(raw_of, last))):
        last = (rows[0][0], rows[0][1])
        yield last


def _workflows_of(db: apsw.Connection, namespace: str, owner: str) -> Iterator[str]:
    last = ""
    while rows := fetch(db, SQL["next_owned_workflow"], (namespace, raw_of(owner), raw_of(last))):
        last = rows[0][0]
        yield last


# ── noted, so that each is told once ─────────────────────────────────────────────────────────────────────────────────


def noted(db: apsw.Connection, namespace: str) -> Sequence[Row]:
    return fetch(db, SQL["stranded"], (namespace,))


def look(db: apsw.Connection, namespace: str, now: Instant, due_for: Microseconds, most: int) -> tuple[Sequence[Row], Sequence[Row]]:
    """What there is to forget and what to note, as values of the statements. Bounded: no more than `most` are noted at a time."""
    known, knowledge = noted(db, namespace), Knowledge(listed(db, namespace))
    gone = over(namespace, now, known, knowledge, set(dead_owners(db, namespace)))
    room = most - len(known) + len(gone)
    found = stranded(db, namespace, now, due_for, most) if room > 0 else ()
    return gone, fresh(namespace, now, due_for, known, found)[:room]


def note(db: apsw.Connection, gone: Sequence[Row], fresh: Sequence[Row]) -> None:
    change_each(db, SQL["forget"], gone)
    change_each(db, SQL["note_stranded"], fresh)
