"""Keeps workers and a client going on one store, strikes one of them again and again, and looks at the store after each strike."""

import time
from collections import Counter
from random import Random

from tests.crash import checker
from tests.crash.harness import Harness, result, signal, start
from tests.crash.options import Lane
from tests.crash.processes import Process

WORKERS = 2
RUNS_AT_ONCE = 30


class Storm:
    def __init__(self, harness: Harness, seed: int) -> None:
        self.struck: Counter[str] = Counter()
        self._harness = harness
        self._chance = Random(seed)
        self._workers: list[Process] = []
        self._paused: list[Process] = []
        self._lanes: list[Lane] = []
        self._client: Process | None = None
        self.before = checker.gather(harness.store, harness.server.effects)

    def rage(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.keep_going()
            self._let_happen(self._chance.randint(1, 60))
            self._strike()
            self.look()

    @property
    def all_are_ready(self) -> bool:
        """Whoever cannot even begin ends, as it should."""
        return len(self._workers) == WORKERS and all(self._harness.server.of("ready", pid=worker.pid) for worker in self._workers)

    def look(self) -> None:
        """What was recorded stays."""
        now = checker.gather(self._harness.store, self._harness.server.effects)
        wrong = checker.changed_since(self.before, now)
        assert not wrong, "\n".join([*wrong, self._harness.said()])
        self.before = now

    def heal(self) -> None:
        for process in self._paused:
            process.resume()
        self._harness.heal(*self._lanes, seconds=90)

    def keep_going(self) -> None:
        self._workers = [worker for worker in self._workers if worker.lives]
        while len(self._workers) < WORKERS:
            self._workers.append(self._harness.launch())
        if self._client is None or not self._client.lives:
            left = self._harness.remaining(self._lanes)
            while len(left) < RUNS_AT_ONCE:
                lane = self._new_lane(len(self._lanes))
                self._lanes.append(lane)
                left = (*left, lane)
            self._client = self._harness.client(*left)

    def _new_lane(self, number: int) -> Lane:
        run = f"run-{number}"
        match self._chance.randrange(4):
            case 0:
                return (start("sequence", run, self._chance.randint(1, 12)), result(run))
            case 1:
                return (start("either", run, self._chance.choice([0.02, 0.2, 1.0])), signal(run, 1))
            case _:
                signals = self._chance.randint(1, 4)
                return (start("everything", run, signals), *(signal(run, one + 1) for one in range(signals)), result(run))

    def _let_happen(self, effects: int) -> None:
        """Go on when so much more has been done, or nothing more is to be done."""
        seen = len(self._harness.server.effects) + effects
        until = time.monotonic() + 0.5
        self._harness.wait(lambda: len(self._harness.server.effects) >= seen or time.monotonic() > until, "something happens")

    def _strike(self) -> None:
        standing = {process.pid for process in self._paused}
        owners = [one for one in self._workers if one.lives and one.pid not in standing and self._harness.store.owned_by(one.pid)]
        for process in [one for one in self._paused if self._is_dead(one)]:
            self._paused.remove(process)
            process.resume()
            self.struck["resumed past the lease"] += 1
        kind = self._chance.random()
        if kind < 0.15 and self._client is not None and self._client.lives:
            self._client.kill()
            self.struck["client killed"] += 1
        elif owners and kind < 0.3 and not self._paused:
            victim = self._chance.choice(owners)
            self._harness.pause_between_commits(victim)
            self._paused.append(victim)
            self.struck["stopped"] += 1
        elif owners:
            self._chance.choice(owners).kill()
            self.struck["killed with unfinished runs"] += 1

    def _is_dead(self, process: Process) -> bool:
        line = self._harness.store.worker(process.pid)
        return line is None or line.state == "dead"
