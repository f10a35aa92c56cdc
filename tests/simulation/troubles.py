"""Who was told of which run in trouble: each trouble is noted with what brought it, and kept until somebody has heard of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from perdure import Trouble
from perdure.clock import to_datetime
from perdure.store.sqlite.writing import UNTOLD_KEPT
from tests.simulation.faults import Faults
from tests.simulation.loop import SECOND
from tests.simulation.rows import Shadow
from tests.simulation.world import Process, World

Row = dict[str, Any]
FALSE_ALARM = 60 * SECOND  # a worker that has been there so long was seen by whoever looked for stranded runs


@dataclass(frozen=True, slots=True)
class Heard:
    """Somebody was told, and has said so to the engine."""

    process: Process
    is_leaving: Callable[[], bool]
    until: int
    """Until then nobody else is given the trouble."""


@dataclass(slots=True)
class Troubles:
    """The oracle: rows as commits have made them, and what the callbacks were told."""

    world: World
    shadow: Shadow
    tries_most: int
    rows: dict[str, Row] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    heard: dict[str, list[Heard]] = field(default_factory=dict)

    # ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def changed(self, old: Row | None, new: Row | None) -> None:
        if new is None:
            assert old is not None
            self.rows.pop(old["run_id"], None)
            return
        self.rows[new["run_id"]] = new
        self.known.add(key_of(new))
        if old is None and new["kind"] == "stranded":
            self._is_really_stranded(new["run_id"])

    def _is_really_stranded(self, run_id: str) -> None:
        self.world.saw("a stranded run was noted")
        run = self.shadow.runs.get(run_id)
        for worker in self.shadow.workers.values():
            is_old = self.world.now - self.shadow.registered[worker["incarnation"]] > FALSE_ALARM
            if run is not None and worker["state"] == "live" and is_old and run.workflow in json.loads(worker["workflows"]):
                self.world.violate(f"run {run_id} was noted as stranded, and {worker['incarnation']} knows {run.workflow}")

    def check(self, troubled: set[str], forgotten: list[Row]) -> None:
        """At the end of a transaction: runs that have come into trouble with it, and rows that are gone with it."""
        for run_id in troubled:
            run, row = self.shadow.runs.get(run_id), self.rows.get(run_id)
            if run is not None and run.state in ("failed", "quarantined") and (row is None or row["kind"] != run.state):
                self.world.violate(f"run {run_id} is {run.state}, and nobody is to be told of it: {row}")
        for row in forgotten:
            if not self._may_be_forgotten(row):
                self.world.violate(f"nobody was told that run {row['run_id']} is {row['kind']}, and it is forgotten: {row}")

    def _may_be_forgotten(self, row: Row) -> bool:
        run = self.shadow.runs.get(row["run_id"])
        is_over = run is None or row["kind"] != run.state
        is_old = row["next_at"] is not None and row["next_at"] < self.world.wall_highest - UNTOLD_KEPT
        return is_over or is_old or key_of(row) in self.heard or row["tries"] >= self.tries_most

    def untold(self) -> list[Row]:
        """Those that somebody is still to be told of."""
        return [row for row in self.rows.values() if row["next_at"] is not None and row["kind"] != "stranded"]

    # ── callbacks ────────────────────────────────────────────────────────────────────────────────────────────────────

    def listener(self, process: Process, faults: Faults, is_leaving: Callable[[], bool]) -> Callable[[Trouble], Awaitable[None]]:
        """An `on_trouble` that fails and hangs as the seed says."""
        draw = self.world.random(f"trouble/{process.label}")

        async def hear(trouble: Trouble) -> None:
            self.world.note(f"{process.label} is told: {trouble.key}")
            self._is_told_rightly(trouble)
            until = self._until(trouble)
            if not faults.is_healed:
                match draw.randrange(6):
                    case 0:
                        raise OSError("the pager does not answer")
                    case 1:
                        await asyncio.sleep(30)
                    case 2:
                        await asyncio.sleep(0.3)
            self.world.saw("somebody was told of a run in trouble")
            self.heard.setdefault(trouble.key, []).append(Heard(process, is_leaving, until))

        return hear

    def _until(self, trouble: Trouble) -> int:
        row = self.rows.get(trouble.run_id)
        return self.world.wall if row is None or row["next_at"] is None else row["next_at"]

    def _is_told_rightly(self, trouble: Trouble) -> None:
        if trouble.key not in self.known:
            self.world.violate(f"somebody is told of {trouble.key}, which never was")
        if (trouble.error is None) != (trouble.kind == "stranded"):
            self.world.violate(f"{trouble.key} is told with the error {trouble.error}")
        for heard in self.heard.get(trouble.key, ()):
            self.world.saw("somebody was told again")
            if heard.process.is_alive and not heard.is_leaving() and self.world.wall_highest < heard.until:
                self.world.violate(f"{trouble.key} is told again, though {heard.process.label} has heard of it and is alive")


def key_of(row: Row) -> str:
    return f"{row['run_id']}/{row['kind']}/{to_datetime(row['at']).isoformat()}"
