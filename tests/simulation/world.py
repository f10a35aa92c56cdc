"""Virtual time, the processes that live in it, and the one place where it is decided, by the seed, what happens next."""

import asyncio
import hashlib
import heapq
import itertools
import re
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from random import Random
from typing import Any

from tests.simulation.loop import SECOND, VirtualLoop

EPOCH = 1_750_000_000 * SECOND  # of the virtual wall clock
BURSTS = (1, 1, 1, 2, 4, 16)
ADDRESS = re.compile(r" at 0x[0-9a-f]+")


class Violation(AssertionError):
    """A promise is broken. The text says which, and what was seen."""


class Killed(BaseException):
    """Raised into whatever a process was doing when it is killed from within."""


class Process:
    """One life of one simulated process. `is_alive` ends once and for all; while paused, nothing of it happens."""

    def __init__(self, world: "World", name: str, life: int, permuting: Random | None) -> None:
        self.world = world
        self.name = name
        self.label = f"{name}.{life}"
        self.is_alive = True
        self.paused_until = 0
        self.random = world.random(f"process/{self.label}")
        self.loop = VirtualLoop(self, permuting)
        self.main: asyncio.Task[None] | None = None
        self.on_death: list[Callable[[], None]] = []
        self.on_close: list[Callable[[], None]] = []
        self.meddle: Callable[[], None] = lambda: None
        """Somebody cancels a task that is not his."""

    @property
    def now(self) -> int:
        return self.world.now

    @property
    def is_paused(self) -> bool:
        return self.paused_until > self.world.now

    def begin(self, main: Coroutine[Any, Any, None], on_end: Callable[["Process"], None]) -> None:
        self.main = self.loop.create_task(main, name=f"main of {self.label}")
        self.main.add_done_callback(partial(self._ended, on_end))

    def _ended(self, on_end: Callable[["Process"], None], main: "asyncio.Task[None]") -> None:
        error = None if main.cancelled() else main.exception()
        if error is not None and self.is_alive:
            self.world.violate(f"{self.label} ended with {error!r}", error)
        if self.is_alive:
            self._dies()
            on_end(self)

    def _dies(self) -> None:
        self.is_alive = False
        self.world.alive.remove(self)

    def broke(self, context: dict[str, Any]) -> None:
        if self.is_alive:
            self.world.violate(f"{self.label}: {context.get('message')}: {context.get('exception')!r}", context.get("exception"))

    def kill(self) -> None:
        """Nothing of it is scheduled any more; what it had asked for and was not done is not done."""
        if self.is_alive:
            self._dies()
            self.world.note(f"{self.label} is killed")
            for happens in self.on_death:
                happens()


class World:
    """Everything that happens is chosen here from what may happen now; `digest` tells two histories apart."""

    def __init__(self, seed: int, tick: int, is_traced: bool = False) -> None:
        self.seed = seed
        self.now = 0
        self.wall_offset = EPOCH
        self._wall_highest = 0
        self.processes: list[Process] = []
        self.alive: list[Process] = []
        self.violation: Violation | None = None
        self.happened: Counter[str] = Counter()
        self.events = 0
        self.tick = tick
        self.is_traced = is_traced
        self._is_closed = False
        self._hash = hashlib.blake2b(digest_size=8)
        self._schedule = self.random("schedule")
        self._later: list[tuple[int, int, Process | None, Callable[[], object]]] = []
        self._due: list[tuple[int, int, Process | None, Callable[[], object]]] = []
        self._order = itertools.count()

    def random(self, purpose: str) -> Random:
        """Streams of their own, so that one more draw here does not change everything there."""
        return Random(f"{self.seed}/{purpose}")

    @property
    def wall(self) -> int:
        return self.now + self.wall_offset

    @property
    def wall_highest(self) -> int:
        return max(self._wall_highest, self.wall)

    def set_clock(self, by: int) -> None:
        self._wall_highest = self.wall_highest
        self.wall_offset += by

    def close(self) -> None:
        """The end: coroutines that are still suspended are closed, unheard."""
        self._is_closed = True
        for process in self.processes:
            process.is_alive = False
        for process in self.processes:
            for closes in process.on_close:
                closes()
            process.loop.close_tasks()

    # ── what is told ─────────────────────────────────────────────────────────────────────────────────────────────────

    def note(self, text: str) -> None:
        """Something happened: part of the trace. Addresses in it are left out."""
        if self._is_closed:
            return
        text = ADDRESS.sub("", text)
        self._hash.update(f"{self.now} {text}\n".encode(errors="replace"))
        if self.is_traced:
            print(f"{self.now / SECOND:14.6f}  {text}")

    def tell(self, text: str) -> None:
        """For people only."""
        if self.is_traced and not self._is_closed:
            print(f"{self.now / SECOND:14.6f}    {text}")

    def saw(self, what: str) -> None:
        """One of the things that must happen sometimes has happened."""
        self.happened[what] += 1

    def violate(self, text: str, error: BaseException | None = None) -> None:
        """Only the first counts: what follows from it would only confuse."""
        self.note(f"VIOLATION {text}")
        if self.violation is None:
            self.violation = Violation(text)
            self.violation.__cause__ = error

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def add(self, process: Process) -> None:
        self.processes.append(process)
        self.alive.append(process)

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────

    def later(self, delay: int, happens: Callable[[], object], owner: Process | None = None) -> None:
        """After `delay` microseconds. Of an owner that is dead by then it does not happen, of a paused one it happens afterwards."""
        heapq.heappush(self._later, (self.now + delay, next(self._order), owner, happens))

    def run(self, until: Callable[[], bool], at_most: int) -> bool:
        """Let things happen until `until` holds; False if `at_most` microseconds have passed first. Raises Violation."""
        end = self.now + at_most
        while not until():
            if self.now > end:
                return False
            self._step(end)
            if self.violation is not None:
                raise self.violation
        return True

    def _step(self, end: int) -> None:
        now = self.now
        if self._later and self._later[0][0] <= now:
            self._come_due()
        ready = [process for process in self.alive if process.paused_until <= now and process.loop.has_ready(now)]
        choices = len(self._due) + len(ready)
        if not choices:
            self.now = min(max(self.now, self._next_moment()), end) + 1
            return
        self.events += 1
        index = int(self._schedule.random() * choices) if choices > 1 else 0
        if index < len(self._due):
            due = self._due.pop(index)
            if due[2] is not None and due[2].is_paused:
                heapq.heappush(self._later, due)
            elif due[2] is None or due[2].is_alive:
                due[3]()
        else:
            self._run(ready[index - len(self._due)])
        self.now += int(self._schedule.random() * self.tick)

    def _run(self, process: Process) -> None:
        for _ in range(BURSTS[int(self._schedule.random() * len(BURSTS))]):
            handle = process.loop.run_one()
            self._hash.update(b"%d %s" % (self.now, process.label.encode()))
            if self.is_traced:
                self._tell(process, handle)
            if not (process.is_alive and process.loop.is_ready) or self.violation is not None:
                return

    def _tell(self, process: Process, handle: asyncio.Handle) -> None:
        callback = getattr(handle, "_callback", None)
        task = getattr(callback, "__self__", None)
        name = f"step of {task.get_name()}" if isinstance(task, asyncio.Task) else getattr(callback, "__qualname__", callback)
        print(f"{self.now / SECOND:14.6f}      {process.label} {ADDRESS.sub('', str(name))}")

    def _come_due(self) -> None:
        while self._later and self._later[0][0] <= self.now:
            at, order, owner, happens = heapq.heappop(self._later)
            if owner is not None and not owner.is_alive:
                continue
            if owner is not None and owner.paused_until > self.now:
                heapq.heappush(self._later, (owner.paused_until, order, owner, happens))
            else:
                self._due.append((at, order, owner, happens))

    def _next_moment(self) -> int:
        moments = [self._later[0][0]] if self._later else []
        for process in self.alive:
            moment = process.now if process.loop.is_ready else process.loop.next_timer()
            if moment is not None:
                moments.append(max(moment, process.paused_until))
        return min(moments, default=self.now + SECOND)
