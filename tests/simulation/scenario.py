"""One seed from beginning to end: chaos in which nothing unsafe may happen, then calm in which everything must come to its end."""

import asyncio
import gc
import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import apsw

from perdure.clock import HostClock
from perdure.store.sqlite.store import SqliteStore
from tests.simulation.audit import Auditor
from tests.simulation.bookings import TABLE
from tests.simulation.chaos import Chaos
from tests.simulation.ending import Ending
from tests.simulation.faults import Faults
from tests.simulation.hints import Hints
from tests.simulation.hosts import ClientHost, Machine, WorkerHost
from tests.simulation.loop import SECOND
from tests.simulation.people import flows_of
from tests.simulation.swarm import Swarm
from tests.simulation.workload import WORKFLOWS, Stage
from tests.simulation.world import Violation, World


@dataclass(frozen=True, slots=True)
class Report:
    """What one seed has shown."""

    swarm: Swarm
    digest: str
    events: int
    seconds: float  # of virtual time
    happened: dict[str, int]
    violation: Violation | None


class Folder:
    """Where the databases of simulations live, in memory where the system has a place for that."""

    def __init__(self) -> None:
        memory = Path("/dev/shm")
        self._folder = tempfile.TemporaryDirectory(prefix="perdure-simulation-", dir=memory if memory.is_dir() else None)
        self.empty = str(Path(self._folder.name, "empty.db"))
        asyncio.run(self._make_empty())

    async def _make_empty(self) -> None:
        store = SqliteStore(self.empty, namespace="default", clock=HostClock())
        await store.open(create=True, migrate=True)
        await store.close()
        db = apsw.Connection(self.empty)
        db.execute(TABLE).fetchall()
        db.close()

    def fresh(self) -> str:
        path = str(Path(self._folder.name, "store.db"))
        self.clear()
        shutil.copyfile(self.empty, path)
        return path

    def clear(self) -> None:
        for path in Path(self._folder.name).glob("store.db*"):
            path.unlink()

    def close(self) -> None:
        self._folder.cleanup()


def simulate(swarm: Swarm, folder: Folder, *, is_traced: bool = False) -> Report:
    """Play one seed. The garbage collector waits, so that nothing happens at moments of its own."""
    gc.collect()
    gc.freeze()  # what is there before need not be looked at
    gc.disable()
    scenario = Scenario(swarm, folder.fresh(), is_traced)
    world, violation = scenario.world, None
    try:
        scenario.play()
    except Violation as broken:
        violation = broken
    report = Report(swarm, world.digest, world.events, world.now / SECOND, dict(world.happened), violation)
    scenario.close()
    gc.unfreeze()
    gc.enable()
    return report


class Scenario:
    def __init__(self, swarm: Swarm, path: str, is_traced: bool) -> None:
        self.swarm = swarm
        self.world = World(swarm.seed, swarm.tick, is_traced)
        faults = Faults(self.world, swarm)
        self.auditor = Auditor(self.world, path, swarm)
        self.machine = Machine(self.world, path, faults, Hints(faults), self.auditor)
        Stage.ledger = self.auditor.ledger
        deployed_at = round(self.world.random("deploy").choice((0, 0, 0.3, 0.7)) * swarm.chaos_seconds * SECOND)
        Stage.has_marks = lambda: self.world.now >= deployed_at
        self._draw = self.world.random("scenario")
        places = swarm.workers + 2 * swarm.clients
        self.flows = flows_of(swarm, self.world, self.auditor, places)
        self.workers = [self._worker(n) for n in range(swarm.workers)]
        left = self.flows[swarm.workers :]
        self.clients = [ClientHost(self.machine, f"c{n}", left[2 * n : 2 * n + 2]) for n in range(swarm.clients)]
        self._alarm = Alarm(self.world)

    def _worker(self, n: int) -> WorkerHost:
        return WorkerHost(self.machine, f"w{n}", [self.flows[n]], workflows=self._known(n), listens=self.swarm.listeners[n])

    def _known(self, number: int) -> tuple[str, ...]:
        """The first worker knows every workflow."""
        names = tuple(WORKFLOWS)
        return names if number == 0 else self._draw.choice((names, names[:1], names[1:], tuple(reversed(names))))

    def play(self) -> None:
        """Raises Violation."""
        self._alarm.set()
        for host in (*self.workers, *self.clients):
            host.start_again(self._draw.randrange(SECOND))
        for host in (*self.workers, *self.clients):
            self._revive(host)
        Chaos(self.machine, self.workers, self.clients).begin()
        ending = Ending(self.machine, self.workers, self.clients, self.flows)
        self.world.run(ending.is_over, at_most=round(self.swarm.chaos_seconds * SECOND))
        ending.play()

    def _revive(self, host: WorkerHost | ClientHost) -> None:
        """A supervisor looks after each host."""
        if not host.is_up:
            host.start()
        patience = 0.5 if self.machine.faults.is_healed else self._draw.choice((0.1, 1, 1, 5, 20))
        self.world.later(round(patience * SECOND), lambda: self._revive(host))

    def close(self) -> None:
        """Everything is let go, without a word."""
        self.world.close()
        self.auditor.close()
        self._alarm.unset()


class Alarm(logging.Handler):
    """What the engine logs as critical must not happen here, but for a disk that fails to sync."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.DEBUG if world.is_traced else logging.CRITICAL)
        self._world = world
        self._log = logging.getLogger("perdure")
        self._before = (self._log.level, self._log.propagate)

    def set(self) -> None:
        self._log.addHandler(self)
        self._log.propagate = False
        self._log.setLevel(self.level)

    def unset(self) -> None:
        self._log.removeHandler(self)
        level, self._log.propagate = self._before
        self._log.setLevel(level)  # which loggers remember, until they are told so

    def emit(self, record: logging.LogRecord) -> None:
        self._world.tell(f"log: {record.getMessage()}")
        if record.levelno == logging.CRITICAL and "failed to sync" not in f"{record.getMessage()} {record.exc_info}":
            self._world.violate(f"the engine says: {record.getMessage()}")
