"""The undelivered signals of runs, as one checkpoint reads them: a page of each, all together within a number of bytes."""

from collections.abc import Sequence

import apsw

from perdure.store.damaged_text import DamagedText
from perdure.store.pages import Pages
from perdure.store.rows import damaged_signal, signal_checksum
from perdure.store.sqlite.queries import named_queries
from perdure.store.sqlite.statements import Row, fetch, fetch_page, size_of

SQL = named_queries("checkpoints")


class Inbox:
    """Of the runs in one transaction. The first of them that has signals gets one in any case, so that something gets on."""

    def __init__(self, db: apsw.Connection, namespace: str, pages: Pages) -> None:
        self._db = db
        self._namespace = namespace
        self._signals_most = pages.inbox_signals
        self._bytes_left = pages.inbox_bytes
        self._is_untouched = True
        self._asked = 0
        self._are_empty = False

    def page(self, run_id: str) -> tuple[Sequence[Row], bool]:
        """The oldest: number, arrival, id, topic, payload, checksum; and whether there are more."""
        self._asked += 1
        if self._asked == 2:  # mostly all are empty, and one look at the table tells so for all the others
            self._are_empty = not fetch(self._db, SQL["any_signals"], (self._namespace,))
        if self._are_empty:
            return (), False
        values = (self._namespace, run_id, self._signals_most + 1)
        page, has_more = fetch_page(self._db, SQL["signals"], values, self._signals_most, self._bytes_left, takes_first=self._is_untouched)
        for row in page:
            self._bytes_left -= size_of(row)
            self._is_untouched = False
        return page, has_more

    def has_signals(self, run_id: str) -> bool:
        return bool(fetch(self._db, SQL["has_signals"], (self._namespace, run_id)))


def sound_signals(run_id: str, page: Sequence[Row], *, drops_damaged: bool) -> Sequence[Row]:
    """Raises CorruptedHistory where one is damaged, unless these are to be dropped."""
    damaged = {row[0]: row[3] for row in page if not is_sound(run_id, row)}
    if damaged and not drops_damaged:
        raise damaged_signal(*next(iter(damaged.items())))
    return [row for row in page if row[0] not in damaged] if damaged else page


def is_sound(run_id: str, row: Row) -> bool:
    """One that a release without checksums sent is, if it can be read."""
    *signal, checksum = row
    return DamagedText not in map(type, row) if checksum is None else checksum == signal_checksum(run_id, *signal)
