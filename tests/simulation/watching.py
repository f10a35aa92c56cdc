"""Sees every row that a transaction writes, through temporary triggers of the connection: they are no part of the file."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import apsw

from perdure.store.sqlite.database import Database

TOO_BIG_BYTES = 60_000
COLUMNS = {
    "runs": ("id", "state", "owner", "wake_at", "generation", "ended_at", "issued", "waiting_for", "workflow", "created_at", "fencing"),
    "history": ("run_id", "generation", "position", "at", "kind", "name", "command", "output", "error", "attempt"),
    "inbox": ("run_id", "number", "arrived_at", "topic", "payload"),
    "signal_keys": ("run_id", "key"),
    "attempts": ("run_id", "command", "failures", "next_at", "intent"),
    "requests": ("run_id", "kind"),
    "generations": ("run_id", "generation", "base_generation", "base_position"),
    "workers": ("incarnation", "state", "checkpoint", "expires_at", "workflows"),
    "troubles": ("run_id", "kind", "at", "tries", "next_at"),
}


@dataclass(frozen=True, slots=True)
class RowChange:
    """One row, before and after; None where it did not or does not exist."""

    table: str
    old: dict[str, Any] | None
    new: dict[str, Any] | None

    @property
    def row(self) -> dict[str, Any]:
        row = self.old if self.new is None else self.new
        assert row is not None
        return row


class WatchedDatabase(Database):
    """Connections that write tell `changed` of every row; `refuses_big_rows` makes them refuse rows that the engine takes for small."""

    changed: Callable[[RowChange], None]
    refuses_big_rows: bool
    rolled_back: Callable[[], None]

    def connect_writer(self) -> apsw.Connection:
        db = super().connect_writer()
        if self.refuses_big_rows:
            db.limit(apsw.SQLITE_LIMIT_LENGTH, TOO_BIG_BYTES)
        return self._watched(db)

    def connect_renewer(self) -> apsw.Connection:
        return self._watched(super().connect_renewer())

    def _watched(self, db: apsw.Connection) -> apsw.Connection:
        db.create_scalar_function("watched", self._told)
        db.set_rollback_hook(self.rolled_back)
        db.execute(TRIGGERS).fetchall()
        return db

    def _told(self, table: str, event: str, *values: Any) -> None:
        names = COLUMNS[table]
        old = dict(zip(names, values[: len(names)], strict=False)) if event != "insert" else None
        new = dict(zip(names, values[-len(names) :], strict=False)) if event != "delete" else None
        self.changed(RowChange(table, old, new))


def triggers() -> str:
    made = []
    for table, columns in COLUMNS.items():
        for event in ("insert", "update", "delete"):
            old = [f"old.{column}" for column in columns] if event != "insert" else []
            new = [f"new.{column}" for column in columns] if event != "delete" else []
            arguments = ", ".join([f"'{table}'", f"'{event}'", *old, *new])
            made.append(f"create temp trigger watch_{table}_{event} after {event} on {table} begin select watched({arguments}); end;")
    return "\n".join(made)


TRIGGERS = triggers()
