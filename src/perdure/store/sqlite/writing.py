"""Writes the rows of one checkpoint, and looks up what has to be known before."""

from collections.abc import Sequence

import apsw

from perdure.clock import SECOND, Instant
from perdure.store.changes import Gathering, NotOwned, Rows
from perdure.store.pages import Pages
from perdure.store.protocol import Change, Written
from perdure.store.rows import Row
from perdure.store.sqlite.calls import Calls
from perdure.store.sqlite.generations import generation
from perdure.store.sqlite.inbox import Inbox, sound_signals
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.statements import change_each, fetch
from perdure.store.sqlite.wishes import Wishes

SQL = named_queries("checkpoints")
LAST = named_queries("requests")["last"]
UNTOLD_KEPT = 3 * 86400 * SECOND  # a trouble that nobody asked for is forgotten then: no engine of the store wants to be told
UNTOLD_PAGE = 1000


def write_changes(
    db: apsw.Connection, namespace: str, incarnation: str, now: Instant, changes: Sequence[Change], pages: Pages
) -> Sequence[Written]:
    """All of them, or an error of the database, or NotOwned; after either, the transaction must be undone."""
    gathering = Gathering(Reading(db, namespace, pages), namespace, incarnation, now)
    written = [gathering.add(change) for change in changes]
    write_rows(db, gathering.rows)
    return written


class Reading:
    """In the transaction that will write."""

    def __init__(self, db: apsw.Connection, namespace: str, pages: Pages) -> None:
        self._db = db
        self._namespace = namespace
        inbox = Inbox(db, namespace, pages)
        self.page, self.has_signals, self.sound = inbox.page, inbox.has_signals, sound_signals
        self.wishes = Wishes(db, namespace).of
        self.perform = Calls(db).perform

    def last(self, change: Change) -> Row:
        return fetch(self._db, LAST, (self._namespace, change.run_id, change.generation))[0]

    def key_generation(self, change: Change) -> int:
        return generation(self._db, self._namespace, change.run_id, change.generation).key_generation


def write_rows(db: apsw.Connection, rows: Rows) -> None:
    """Raises NotOwned where a run is not the writer's."""
    many(db, "insert_record", rows.history)
    many(db, "fail_attempt", rows.fail_attempt)
    many(db, "intend", rows.intend)
    many(db, "settle", rows.settle)
    many(db, "clear_strikes", rows.clear_strikes)
    many(db, "take_signals", rows.take_signals)
    for name, some in (
        ("note", rows.note),
        ("give_up", rows.give_up),
        ("put_aside", rows.put_aside),
        ("quarantine", rows.quarantine),
        ("succeed", rows.succeed),
        ("finish", rows.finish),
    ):
        if many(db, name, some) != len(some):
            raise NotOwned(f"{name}: a run belongs to another worker")
    many(db, "open_generation", rows.open_generation)
    many(db, "outdate", rows.outdate)
    many(db, "forget_attempts", rows.forget_attempts)
    many(db, "forget_tries", rows.forget_tries)
    many(db, "meet", rows.met)
    many(db, "tell_cancel", rows.tell_cancel)
    many(db, "forget_requests", rows.forget_requests)
    if rows.trouble:
        many(db, "trouble", rows.trouble)
        namespace, *_, now = rows.trouble[0]
        many(db, "forget_untold", [(namespace, now - UNTOLD_KEPT, UNTOLD_PAGE)])


def many(db: apsw.Connection, name: str, rows: Sequence[Row]) -> int:
    """How many rows were changed."""
    return change_each(db, SQL[name], rows) if rows else 0
