"""What a checkpoint has to know before it writes, read in one trip as of one moment."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg

from perdure.clock import Instant
from perdure.model.records import NewRecord
from perdure.store.calls import Call
from perdure.store.endings import Continue, Quarantine
from perdure.store.pages import Pages
from perdure.store.postgresql.connections import Connection
from perdure.store.postgresql.generations import generations
from perdure.store.postgresql.scope import Scope
from perdure.store.protocol import Change
from perdure.store.rows import Row, damaged_signal, signal_checksum
from perdure.store.wishes import NOTHING, Wish


@dataclass(slots=True)
class Seen:
    """Of runs that belong to whoever looked: nobody else takes from their inboxes, and wishes that change are noticed when it writes."""

    now: Instant
    changed_wishes: dict[str, int] = field(default_factory=dict)
    suspects: dict[str, int] = field(default_factory=dict)
    dead_owners: list[str] = field(default_factory=list)
    pages: Pages | None = None
    unseen: tuple[str, ...] = ()  # runs of which it is taken for granted that there is nothing to see
    is_foreseen: bool = False  # nobody has looked: what is taken for granted is made sure of by the statement that writes
    _bytes_left: int = 0
    _is_untouched: bool = True
    _read: dict[str, list[asyncpg.Record]] = field(default_factory=dict)
    _wishes: dict[str, dict[str, Wish]] = field(default_factory=lambda: defaultdict(dict))
    _signals: dict[str, list[asyncpg.Record]] = field(default_factory=lambda: defaultdict(list))
    _last: dict[str, Row] = field(default_factory=dict)
    _key_generations: dict[str, int] = field(default_factory=dict)

    # ── as the gathering of changes asks ─────────────────────────────────────────────────────────────────────────────

    def wishes(self, run_id: str) -> Mapping[str, Wish]:
        return self._wishes.get(run_id, NOTHING)

    def begin(self, pages: Pages) -> "Seen":
        """What is read from here on is within one page of each and the bytes of all; again, if it is all read anew."""
        self.pages, self._bytes_left, self._is_untouched = pages, pages.inbox_bytes, True
        return self

    def page(self, run_id: str) -> tuple[Sequence[Row], bool]:
        """Numbered as they stand here: in the inbox two that were sent at once may have one number."""
        assert self.pages is not None
        found = self._signals.get(run_id, [])
        page: list[Row] = []
        for number, row in enumerate(found[: self.pages.inbox_signals], 1):
            size = 0 if row["payload"] is None else len(row["payload"])
            if row["payload"] is None or (size > self._bytes_left and not self._is_untouched):
                break  # it was not read, or is too much after what was read since
            page.append((number, row["at"], row["id"], row["word"], row["payload"], row["checksum"]))
            self._bytes_left -= size
            self._is_untouched = False
        return page, len(page) < len(found)

    def sound(self, run_id: str, page: Sequence[Row], *, drops_damaged: bool) -> Sequence[Row]:
        damaged = {row[0]: row[3] for row in page if not is_sound(run_id, row)}
        if damaged and not drops_damaged:
            number, topic = next(iter(damaged.items()))
            raise damaged_signal(number, topic)
        return [row for row in page if row[0] not in damaged]

    def has_signals(self, run_id: str) -> bool:
        return bool(self._signals.get(run_id))

    def last(self, change: Change) -> Row:
        return self._last[change.run_id]

    def key_generation(self, change: Change) -> int:
        return self._key_generations[change.run_id]

    def perform(self, call: Call) -> NewRecord | BaseException | None:
        """It was performed before, in the transaction that this checkpoint ends."""
        try:
            return call.perform(None)
        except BaseException as error:  # recorded as the failure of the attempt
            return error

    def taken(self, run_id: str, upto: int) -> list[Row]:
        """Of the signals that were read up to this number: what they are called in the inbox."""
        return [(row["number"], row["id"]) for row in self._signals[run_id][:upto]]


def checksum_of(run_id: str, id: str, topic: str, payload: bytes) -> int:
    """Number and arrival are given by the database when it is stored."""
    return signal_checksum(run_id, 0, 0, id, topic, payload)


def is_sound(run_id: str, row: Row) -> bool:
    _, _, signal_id, topic, payload, checksum = row
    return checksum is None or bool(checksum == checksum_of(run_id, signal_id, topic, payload))


async def look(db: Connection, scope: Scope, changes: Sequence[Change], pages: Pages, *, claims: bool) -> Seen:
    asking = [change for change in changes if change.reads_inbox or change.ending is not None]
    if not asking and not claims:
        now = await db.fetchval(scope.sql("checkpoints", "now"), scope.now())
        scope.hear(now)
        return Seen(now)
    asked = [change.run_id for change in asking]
    values = (scope.namespace, asked, pages.inbox_signals + 1, scope.now(), claims, pages.inbox_bytes)
    seen = Seen(0)
    for row in await db.fetch(scope.sql("checkpoints", "look"), *values):
        match row["what"]:
            case "now":
                seen.now = row["number"]
                scope.hear(seen.now)
            case "run":
                seen.changed_wishes[row["run_id"]] = row["number"]
            case "wish":
                seen._wishes[row["run_id"]][row["word"]] = (row["number"], row["at"])
            case "signal":
                seen._signals[row["run_id"]].append(row)
            case "suspect":
                seen.suspects[row["run_id"]] = row["number"]
            case _:
                seen.dead_owners.append(row["run_id"])
    for change in asking:
        if isinstance(change.ending, Quarantine):
            last = scope.sql("requests", "last")
            seen._last[change.run_id] = tuple(await db.fetchrow(last, scope.namespace, change.run_id, change.generation) or (None, None))
        elif isinstance(change.ending, Continue):
            known = await generations(db, scope, change.run_id)
            seen._key_generations[change.run_id] = known(change.generation).key_generation
    return seen
