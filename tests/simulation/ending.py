"""The calm after the chaos: everything must come to its end, nothing may be left over, and every history must replay."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import apsw

from perdure.codec.values import decode
from tests.simulation.hosts import ClientHost, CloserHost, Host, Machine, WorkerHost
from tests.simulation.leaks import leaks
from tests.simulation.loop import SECOND
from tests.simulation.people import Flow
from tests.simulation.rows import RunShadow
from tests.simulation.world import Violation

CALM_SECONDS_MOST = 3600
ANSWERS_WITHIN = 60 * SECOND  # what was delayed before the world was healed, or stood still, may still last so long
LAST_RECORDS = """
select id, state, (select max(position) from history where history.namespace = runs.namespace and run_id = id
    and history.generation = runs.generation) from runs
"""
TIMERS_OF_AN_IDLE_WORKER = 6  # its lease, its sweep, its alarm, its troubles, its retention, and the supervisor's flow


class Ending:
    def __init__(self, machine: Machine, workers: Sequence[WorkerHost], clients: Sequence[ClientHost], flows: Sequence[Flow]) -> None:
        self._machine = machine
        self._world = machine.world
        self._shadow = machine.auditor.shadow
        self._workers = workers
        self._clients = clients
        self._flows = flows
        settings = machine.faults.swarm.settings
        self._patience = round((settings.lease_seconds + 3 * settings.sweep_seconds + 45) * SECOND)
        self._closer = CloserHost(machine, "closer", [], is_over=self.is_over, retries=self._world.random("closer").random() < 0.5)
        self._begins = 0
        self._skipped_at = 0

    def play(self) -> None:
        """Raises Violation."""
        self._heal()
        self._let_everything_end()
        self._nothing_is_left_in_memory()
        self._all_leave()
        self._nothing_is_left_in_the_store()
        self._every_history_replays()
        self._signals_came_once_and_in_order()

    def _fail(self, text: str) -> None:
        self._world.violate(text)
        raise self._world.violation or Violation(text)

    # ── liveness ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _heal(self) -> None:
        self._world.note("the world is healed")
        self._machine.faults.heal()
        self._begins = self._skipped_at = self._world.now
        for process in self._world.processes:
            process.paused_until = 0
        for host in (*self._workers, *self._clients):
            host.start_again(SECOND)
        self._closer.start_again(3 * SECOND)

    def is_over(self) -> bool:
        """Whether everything that was planned has been done and has come to its end."""
        return not self._shadow.unfinished and all(flow.is_done for flow in self._flows)

    def _has_ended(self) -> bool:
        """The closer has left too: it could still resume what is quarantined."""
        return self.is_over() and not self._closer.is_up and not self._untold()

    def _untold(self) -> list[dict[str, Any]]:
        return self._machine.auditor.troubles.untold() if any(host.listens for host in self._workers) else []

    def _unfinished(self) -> list[RunShadow]:
        return [self._shadow.runs[run_id] for run_id in sorted(self._shadow.unfinished)]

    def _let_everything_end(self) -> None:
        while not self._world.run(self._has_ended, at_most=SECOND):
            if self._world.now - self._last_change() > self._patience:
                self._fail(f"liveness: nothing has moved for {self._patience / SECOND} s\n{self._wait_graph()}")
            if self._world.now - self._skipped_at > CALM_SECONDS_MOST * SECOND:
                self._fail(f"liveness: no end in sight\n{self._wait_graph()}")
            self._skip_long_waits()

    def _last_change(self) -> int:
        flows, runs = self._flows, self._shadow.runs.values()
        return max(
            [self._begins, self._skipped_at, self._shadow.deleted_at, *(flow.moved_at for flow in flows), *(run.changed_at for run in runs)]
        )

    def _skip_long_waits(self) -> None:
        """When everybody waits for a moment that is far away, it comes soon."""
        if self._world.now - self._last_change() < 2 * SECOND:
            return
        runs = self._unfinished()
        moments = [run.wake_at for run in runs if run.wake_at is not None]
        everybody_waits = len(moments) == len(runs)
        moments += [row["next_at"] for row in self._untold()]
        if moments and everybody_waits:
            left = min(moments) - self._world.wall
            if left > 2 * SECOND:
                self._world.note(f"the machine sleeps for {left / SECOND} s")
                self._world.now += left - SECOND
                self._skipped_at = self._world.now

    def _wait_graph(self) -> str:
        lines = []
        for run in self._unfinished():
            lines.append(f"  {run.id} ({run.workflow}) is {run.state}, {self._owner(run)}, {self._due(run)}, {len(run.records)} records")
            lines.append(f"     inbox {list(run.inbox.values())}, attempts {list(run.attempts.values())}")
            lines.append(f"     in memory: {[self._in_memory(host, run.id) for host in self._workers]}")
        lines += [
            f"  {flow.name} stands at {flow.done} of {len(flow.intentions)}: {flow.intentions[flow.done]}"
            for flow in self._flows
            if not flow.is_done
        ]
        return "\n".join(lines)

    def _owner(self, run: RunShadow) -> str:
        if run.owner is None:
            return "nobody's"
        return f"of {run.owner} ({self._shadow.workers[run.owner]['state']}, in {self._shadow.hosts[run.owner]})"

    def _due(self, run: RunShadow) -> str:
        return "never due" if run.wake_at is None else f"due in {(run.wake_at - self._world.wall) / SECOND} s"

    def _in_memory(self, host: WorkerHost, run_id: str) -> str:
        engine = host.engine
        if engine is None or not host.is_up:
            return f"{host.name}: down"
        live = engine.worker.live.get(run_id)
        if live is None:
            return f"{host.name}: not there"
        return f"{host.name}: busy {live.is_busy}, in flight {live.is_in_flight}, news {live.has_news}, attempts {list(live.attempts)}"

    # ── afterwards ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _nothing_is_left_in_memory(self) -> None:
        """I22. Those who were down when the world was healed are coming back."""
        self._world.run(lambda: all(host.is_up for host in self._workers), at_most=ANSWERS_WITHIN)
        self._world.run(lambda: False, at_most=SECOND)
        for _ in range(20):  # threads whose result nobody wants may still be under way
            if any(host.engine is not None and leaks(host.engine) for host in self._workers):
                self._world.run(lambda: False, at_most=SECOND)
        # One that had been told to stop has ended meanwhile, and comes back.
        self._world.run(lambda: all(host.is_up and host.engine is not None for host in self._workers), at_most=ANSWERS_WITHIN)
        self._world.run(lambda: False, at_most=SECOND)
        for host in self._workers:
            if host.engine is None or host.process is None or not host.is_up:
                self._fail(f"liveness: {host.name} is not up")
                continue
            found = leaks(host.engine)
            if found:
                self._fail(f"I22: {host.name} still holds {found[0][:300]} when all is done ({len(found)} in all)")
            if host.process.loop.armed() > TIMERS_OF_AN_IDLE_WORKER:
                self._fail(f"I22: {host.name} still has {host.process.loop.armed()} timers when all is done")

    def _all_leave(self) -> None:
        hosts: list[Host] = [*self._workers, *self._clients]
        for host in hosts:
            host.is_wanted = False
        # What was delayed before the world was healed may last longer than a worker that leaves waits for it.
        self._world.run(lambda: not any(worker.is_busy for worker in self._workers), at_most=ANSWERS_WITHIN)
        leaving = {host.process.label for host in self._workers if host.process is not None and host.is_up}
        for worker in self._workers:
            worker.stop()
        if not self._world.run(lambda: not any(host.is_up for host in hosts), at_most=ANSWERS_WITHIN):
            self._fail(f"B20: {[host.name for host in hosts if host.is_up]} do not end")
        alive = [name for name, row in self._shadow.workers.items() if row["state"] == "live" and self._shadow.hosts[name] in leaving]
        if alive:
            self._fail(f"workers {alive} have left without giving their lease back")

    def _nothing_is_left_in_the_store(self) -> None:
        db = apsw.Connection(self._machine.path, flags=apsw.SQLITE_OPEN_READWRITE)
        states = {run.id for run in self._shadow.runs.values() if run.is_final}
        for table, where in (("attempts", "where intent is null"), ("inbox", ""), ("requests", "")):
            left = [run_id for (run_id,) in db.execute(f"select distinct run_id from {table} {where}").fetchall() if run_id in states]
            if left:
                self._fail(f"I19: ended runs {left} have rows in {table}")
        for run_id, state, last in db.execute(LAST_RECORDS).fetchall():
            run = self._shadow.runs[run_id]
            if (state, last) != (run.state, len(run.records)):
                self._fail(f"I20: {run_id} is {state} with {last} records on disk, {run.state} with {len(run.records)} were committed")
            if run.is_to_be_cancelled and state != "cancelled":
                self._fail(f"I12: {run_id} was to be cancelled, as somebody was told, and is {state}")
        db.close()

    def _every_history_replays(self) -> None:
        for run_id in self._shadow.runs:
            for fault in self._machine.auditor.replays.faults_of(run_id):
                self._fail(fault)

    def _signals_came_once_and_in_order(self) -> None:
        """G7, G8."""
        for run in self._shadow.runs.values():
            last: dict[tuple[str, str], int] = defaultdict(lambda: -1)
            keys = set()
            for record in run.heard:
                payload = decode(record["output"], Any, what="signal")
                if payload["flow"] != "closer" and payload["key"] in keys:
                    self._fail(f"G7: run {run.id} received {payload['key']} twice")
                keys.add(payload.get("key"))
                place = (payload["flow"], record["name"])
                if payload["order"] < last[place]:
                    self._fail(f"G8: run {run.id} received {payload} after {last[place]}")
                last[place] = payload["order"]
