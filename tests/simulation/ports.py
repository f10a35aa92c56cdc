"""The engine's ports in the virtual world."""

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from random import Random

from perdure.clock import Clock
from perdure.engine.ports import Ports
from perdure.settings import Settings
from perdure.store.protocol import Store
from tests.simulation.audit import Auditor
from tests.simulation.faults import Faults
from tests.simulation.hints import Hints
from tests.simulation.loop import SECOND
from tests.simulation.store import open_virtual_store
from tests.simulation.world import Killed, Process, World

BOOTED_BEFORE = 100 * SECOND
KILLED = {"trouble.taken": 0.03, "trouble.told": 0.5}  # rare moments; the others come all the time
CANCELLED = {"attempt.begin": 0.05, "checkpoint.before": 0.01}  # how often somebody cancels a task soon after


class VirtualClock:
    """One wall clock for the whole machine, which may jump, and one since boot, which does not."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> int:
        return self._world.wall

    def since_boot(self) -> int:
        return self._world.now + BOOTED_BEFORE


class SeededEntropy:
    def __init__(self, random: Random) -> None:
        self._random = random

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)


class VirtualThreads:
    """A plain step is executed at once; that it has ended is known only after a while. As many at once as the engine allows itself."""

    def __init__(self, process: Process, faults: Faults) -> None:
        self._process = process
        self._faults = faults
        self._random = process.random

    def submit(self, function: Callable[[], object]) -> "Future[object]":
        future: Future[object] = Future()
        self._process.world.later(self._random.randrange(50), lambda: self._run(function, future), self._process)
        return future

    def close(self) -> None:
        """Nobody waits for threads."""

    def _run(self, function: Callable[[], object], future: "Future[object]") -> None:
        takes = self._random.choice((0, 1_000, 1_000, 200_000, self._random.choice((SECOND, 8 * SECOND))))
        try:
            value = function()
        except BaseException as error:  # handed to whoever waits for the thread
            self._process.world.later(takes, partial(future.set_exception, error), self._process)
        else:
            self._process.world.later(takes, partial(future.set_result, value), self._process)


def ports_of(process: Process, path: str, faults: Faults, hints: Hints, auditor: Auditor) -> Ports:
    def open_store(_url: str, *, namespace: str, clock: Clock, settings: Settings) -> Store:
        return open_virtual_store(path, namespace, clock, settings, process, faults, hints, auditor)

    def reached(point: str) -> None:
        if process.is_alive and faults.chance("kill", KILLED.get(point, 0.002)):
            process.world.saw(f"killed at {point}")
            process.kill()
            raise Killed
        if process.is_alive and faults.chance("cancels", CANCELLED.get(point, 0)):
            process.world.later(process.random.choice((0, 50, 2_000, process.random.randrange(SECOND))) + 1, process.meddle, process)

    return Ports(
        clock=VirtualClock(process.world),
        entropy=SeededEntropy(process.world.random(f"entropy/{process.label}")),
        chance=process.world.random(f"chance/{process.label}"),
        threads=lambda _most: VirtualThreads(process, faults),
        open_store=open_store,
        beats_in_thread=False,
        reached=reached,
    )
