"""One performance: start the processes and the runs, send the decisions, kill the worker, wait for the end."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Self

from perdure import Client
from perdure.demo.killing import Kill, kill_at_work, until_up
from perdure.demo.plan import Plan, Planned
from perdure.demo.processes import DemoFailed, OrderSystem, WorkerProcess
from perdure.demo.purchasing import PurchaseRequest, purchase
from perdure.demo.screen import Screen
from perdure.store.opening import open_store

_SHORT_DEADLINE = timedelta(seconds=6)  # for the requests that nobody answers; the others have three days
_REPEAT_SECONDS = 0.3
_WATCH_SECONDS = 0.2
_END_WITHIN_SECONDS = 30.0
_FINAL = {"completed", "failed", "cancelled", "quarantined"}


class Show:
    """`async with Show(…) as show: await show.play()`. Leaves no process behind."""

    def __init__(self, folder: Path, screen: Screen, plan: Plan, requests: list[PurchaseRequest]) -> None:
        self._folder = folder
        self._screen = screen
        self._plan = plan
        self._requests = requests
        self._later = deque(planned for share in plan.shares for planned in share)
        self._soon: deque[Planned] = deque()
        self._sending: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()
        self.kills: list[Kill] = []

    async def __aenter__(self) -> Self:
        url = f"sqlite:///{self._folder / 'purchasing.db'}"
        try:
            order_system = self._stack.enter_context(OrderSystem(self._folder, self._plan.seed))
            self._store = open_store(url, namespace="default")
            self._stack.push_async_callback(self._store.close)
            await self._store.open(create=True, migrate=True)
            self.client = await self._stack.enter_async_context(Client(url))
            self._worker = WorkerProcess(self._folder, url, order_system.url)
            self._stack.callback(self._worker.kill)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._sending:
            task.cancel()
        await self._stack.aclose()

    async def play(self) -> None:
        watching = asyncio.create_task(self._watch())
        try:
            await self._start_worker()
            await self._start_runs()
            for life, after_seconds in enumerate(self._plan.kill_after_seconds):
                self._send_share(life)
                await self._kill(after_seconds)
                await self._start_worker()
            self._send_share(len(self._plan.kill_after_seconds))
            await self._until_ended()
            status = self._worker.stop()
            self._screen.tell(f"all runs have ended; the worker was asked to stop (SIGTERM) and left with status {status}")
        finally:
            watching.cancel()

    # ── runs and decisions ───────────────────────────────────────────────────────────────────────────────────────────

    async def _start_runs(self) -> None:
        for one in self._requests:
            deadline = {"decide_within": _SHORT_DEADLINE} if one.id in self._plan.undecided else {}
            await self.client.start(purchase, one, id=one.id, **deadline)
        self._screen.tell(f"{len(self._requests)} purchase requests started; each is on disk")

    def _send_share(self, life: int) -> None:
        """Decisions go their own way: some arrive while no worker is alive."""
        for planned in self._plan.shares[life]:
            if planned in self._later:
                self._later.remove(planned)
                self._soon.append(planned)
                self._spawn(self._decide_in_time(planned))

    async def _decide_in_time(self, planned: Planned) -> None:
        await asyncio.sleep(planned.after_seconds)
        if planned in self._soon:  # not sent before its time, to keep the worker busy
            self._soon.remove(planned)
            await self._decide(planned)

    async def _decide(self, planned: Planned) -> None:
        run, key = self.client.run(planned.request), f"decision-{planned.request}"
        await run.signal("decision", asdict(planned.decision), key=key)
        if planned.is_repeated:
            await asyncio.sleep(_REPEAT_SECONDS)
            await run.signal("decision", asdict(planned.decision), key=key)  # the same key: it arrives once

    async def _nudge(self, is_urgent: bool) -> None:
        """Send a decision before its time; one planned for a later life only if the worker is idle. Raises DemoFailed when runs fail."""
        for one in (await self.client.runs(status="failed", limit=1)).runs:
            error = (await self.client.run(one.id).status()).error or {}
            raise DemoFailed(f"run {one.id} failed: {error.get('type')}: {error.get('message')}")
        waiting = self._soon or (self._later if is_urgent else None)
        if waiting:
            self._spawn(self._decide(waiting.popleft()))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._sending.add(task)

    # ── killing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _kill(self, after_seconds: float) -> None:
        while True:
            kill = await kill_at_work(self._store, self._worker, after_seconds, self._nudge)
            if kill.owned:
                break
            self._screen.tell("it had finished its last run a moment before it died; this kill does not count")
            await self._start_worker()
        self.kills.append(kill)
        number = f"kill {len(self.kills)} of {len(self._plan.kill_after_seconds)}"
        runs = "1 unfinished run" if len(kill.owned) == 1 else f"{len(kill.owned)} unfinished runs"
        self._screen.tell(f"{number}: SIGKILL to worker {kill.pid}, which owned {runs}", "red")

    async def _start_worker(self) -> None:
        self._worker.start()
        await until_up(self._store, self._worker)
        counts = await self._counts()
        stands = f"; {sum(counts[state] for state in _FINAL)} of {len(self._requests)} runs have ended" if counts else ""
        self._screen.tell(f"worker {self._worker.pid} is up{stands}", "dim")

    # ── watching ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _until_ended(self) -> None:
        deadline = time.monotonic() + _END_WITHIN_SECONDS
        while (counts := await self._counts()).keys() - _FINAL or self._is_sending():
            if time.monotonic() > deadline:
                raise DemoFailed(f"after {_END_WITHIN_SECONDS:g} s without a kill not all runs have ended: {dict(counts)}; see worker.log")
            assert self._worker.pid
            await asyncio.sleep(_WATCH_SECONDS)

    def _is_sending(self) -> bool:
        for task in [task for task in self._sending if task.done()]:
            self._sending.remove(task)
            task.result()
        return bool(self._sending)

    async def _watch(self) -> None:
        while True:
            counts = await self._counts()
            ended = sum(count for state, count in counts.items() if state in _FINAL)
            total = len(self._requests)
            bar = "█" * (ended * 25 // total) + "░" * (25 - ended * 25 // total)
            stands = f"{ended} of {total} ended, {counts['running']} running, {counts['waiting']} waiting"
            self._screen.show(f"  {bar} {stands}, killed {len(self.kills)} times")
            await asyncio.sleep(_WATCH_SECONDS)

    async def _counts(self) -> Counter[str]:
        page = await self.client.runs(limit=1000)
        return Counter(one.status for one in page.runs)
