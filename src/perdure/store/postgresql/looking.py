"""What a checkpoint has to know before it writes, read in one trip as of one moment."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg

from perdure.clock import Instant
from perdure.errors import StoreError
from perdure.model.records import NewRecord
from perdure.store.calls import Call
from perdure.store.endings import Continue, Quarantine
from perdure.store.postgresql.connections import Connection
from perdure.store.postgresql.generations import generations
from perdure.store.postgresql.scope import Scope
from perdure.store.protocol import Change
from perdure.store.rows import Row
from perdure.store.wishes import NOTHING, Wish


@dataclass(slots=True)
class Seen:
    """Of runs that belong to whoever looked: nobody else takes from their inboxes, and wishes that change are noticed when it writes."""

    now: Instant
    changed_wishes: dict[str, int] = field(default_factory=dict)
    suspects: dict[str, int] = field(default_factory=dict)
    dead_owners: list[str] = field(default_factory=list)
    _wishes: dict[str, dict[str, Wish]] = field(default_factory=lambda: defaultdict(dict))
    _signals: dict[str, list[asyncpg.Record]] = field(default_factory=lambda: defaultdict(list))
    _last: dict[str, Row] = field(default_factory=dict)
    _key_generations: dict[str, int] = field(default_factory=dict)

    # ── as the gathering of changes asks ─────────────────────────────────────────────────────────────────────────────

    def wishes(self, run_id: str) -> Mapping[str, Wish]:
        return self._wishes.get(run_id, NOTHING)

    def signals(self, run_id: str, limit: int) -> Sequence[Row]:
        """Numbered as they stand here: in the inbox two that were sent at once may have one number."""
        page = self._signals.get(run_id, ())[:limit]
        return [(number, row["at"], row["word"], row["payload"]) for number, row in enumerate(page, 1)]

    def has_signals(self, run_id: str) -> bool:
        return run_id in self._signals

    def last(self, run_id: str, generation: int) -> Row:  # noqa: ARG002 - that of the change
        return self._last[run_id]

    def key_generation(self, run_id: str, generation: int) -> int:  # noqa: ARG002 - that of the change
        return self._key_generations[run_id]

    def perform(self, call: Call) -> NewRecord | Exception | None:
        return StoreError(f"run {call.run_id}: transactional steps are not on PostgreSQL yet; use a plain step")

    def taken(self, run_id: str, upto: int) -> list[Row]:
        """Of the signals that were read up to this number: what they are called in the inbox."""
        return [(row["number"], row["id"]) for row in self._signals[run_id][:upto]]


def heard(scope: Scope, seen: Seen) -> Seen:
    if scope.authority is not None:
        scope.authority.read(seen.now)
    return seen


async def look(db: Connection, scope: Scope, changes: Sequence[Change], inbox_page: int, *, claims: bool) -> Seen:
    asking = [change for change in changes if change.reads_inbox or change.ending is not None]
    if not asking and not claims:
        return heard(scope, Seen(await db.fetchval(scope.sql("checkpoints", "now"), scope.now())))
    values = (scope.namespace, [change.run_id for change in asking], inbox_page + 1, scope.now(), claims)
    seen = Seen(0)
    for row in await db.fetch(scope.sql("checkpoints", "look"), *values):
        match row["what"]:
            case "now":
                seen.now = row["number"]
                heard(scope, seen)
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
