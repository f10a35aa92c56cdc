"""The simulated processes and who starts them again when they have ended."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from perdure import Engine
from perdure.engine.worker import Worker
from perdure.errors import InboxFull, NotRetryable, RunEnded, RunNotFound, StoreError
from tests.simulation.audit import Auditor
from tests.simulation.faults import Faults
from tests.simulation.hints import Hints
from tests.simulation.loop import SECOND
from tests.simulation.people import Flow, VirtualClient
from tests.simulation.ports import ports_of
from tests.simulation.store import VirtualStore
from tests.simulation.workload import WORKFLOWS
from tests.simulation.world import Process, World


@dataclass(slots=True)
class Machine:
    """What all processes share."""

    world: World
    path: str
    faults: Faults
    hints: Hints
    auditor: Auditor


@dataclass(slots=True, eq=False)
class Host:
    """A place for one process after the other."""

    machine: Machine
    name: str
    flows: Sequence[Flow]
    lives: int = 0
    process: Process | None = None
    is_wanted: bool = True
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.is_alive

    def start(self) -> None:
        if self.is_up or not self.is_wanted:
            return
        world = self.machine.world
        self.lives += 1
        self.stopping = asyncio.Event()
        permuting = world.random(f"permuting/{self.name}/{self.lives}") if self.machine.faults.swarm.has("permute") else None
        self.process = process = Process(world, self.name, self.lives, permuting)
        world.add(process)
        world.note(f"{process.label} starts")
        process.begin(self.main(process), self._ended)

    async def main(self, process: Process) -> None:
        raise NotImplementedError

    def _ended(self, process: Process) -> None:
        self.machine.world.note(f"{process.label} has ended")
        self.start_again(SECOND)

    def start_again(self, delay: int) -> None:
        self.machine.world.later(delay, self.start)


@dataclass(slots=True, eq=False)
class WorkerHost(Host):
    """Runs an Engine until it is told to stop; its flows are clients in the same process."""

    workflows: Sequence[str] = field(default_factory=tuple)
    listens: bool = False
    engine: Engine | None = None

    async def main(self, process: Process) -> None:
        machine = self.machine
        ports = ports_of(process, machine.path, machine.faults, machine.hints, machine.auditor)
        stop = self.stopping
        workflows = [WORKFLOWS[name] for name in self.workflows]
        hears = machine.auditor.troubles.listener(process, machine.faults, stop.is_set) if self.listens else None
        engine = Engine("sqlite:///virtual.db", workflows, ports=ports, settings=machine.faults.swarm.settings, on_trouble=hears)
        process.on_close.append(partial(close_runs, engine))
        try:
            async with engine:
                self.engine = engine
                process.meddle = partial(self._cancel_something, engine.worker, process)
                engine.failure.add_done_callback(lambda _: stop.set())
                await self._serve(engine, stop)
        except StoreError as error:
            machine.world.note(f"{process.label}: {type(error).__name__} ends it")
        finally:
            self.engine = None

    async def _serve(self, engine: Engine, stop: asyncio.Event) -> None:
        tasks = [asyncio.create_task(flow.play(engine)) for flow in self.flows if not flow.is_done]
        await stop.wait()
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    def _cancel_something(self, worker: Worker, process: Process) -> None:
        world, runs = self.machine.world, self.machine.auditor.shadow.runs
        tasks = [(run.id, attempt.task) for run in worker.live.values() for attempt in run.attempts.values()]
        run_id, task = process.random.choice([("", worker._committer._task), *tasks])
        if task is not None and not task.done():
            world.note(f"a task of {process.label} is cancelled: {f'a step of {run_id}' if run_id else 'the commit'}")
            world.saw("somebody cancelled a task")
            task.cancel()
            if run_id in runs:
                runs[run_id].resumptions += 1

    @property
    def is_busy(self) -> bool:
        """Whether the store owes it an answer."""
        store = None if self.engine is None or not self.is_up else self.engine._opened
        return store is not None and cast(VirtualStore, store).is_busy

    def stop(self) -> None:
        """As on SIGTERM."""
        if self.process is not None and self.is_up:
            self.machine.world.note(f"{self.process.label} is told to stop")
            self.process.loop.call_soon(self.stopping.set)

    def hurry(self) -> None:
        """As on a second SIGTERM."""
        if self.engine is not None and self.process is not None and self.is_up:
            self.process.loop.call_soon(self.engine.kill_attempts)


def close_runs(engine: Engine) -> None:
    """Of a process that was killed: its workflow code must not be left to the garbage collector."""
    with suppress(RuntimeError):  # it died before it was open
        for run in list(engine.worker.live.values()):
            run.execution.close()


@dataclass(slots=True, eq=False)
class ClientHost(Host):
    """Plays its flows, then ends."""

    async def main(self, process: Process) -> None:
        machine = self.machine
        ports = ports_of(process, machine.path, machine.faults, machine.hints, machine.auditor)
        try:
            async with VirtualClient(ports, machine.faults.swarm.settings) as client:
                await self.visit(client)
        except* StoreError as errors:
            machine.world.note(f"{process.label}: {type(errors.exceptions[0]).__name__} ends it")

    async def visit(self, client: VirtualClient) -> None:
        async with asyncio.TaskGroup() as group:
            for flow in self.flows:
                group.create_task(flow.play(client))

    def start(self) -> None:
        if not all(flow.is_done for flow in self.flows):
            super(ClientHost, self).start()


@dataclass(slots=True, eq=False)
class CloserHost(ClientHost):
    """Sends every run what it waits for, so that all of them come to an end. With some seeds it retries once what has failed."""

    is_over: Callable[[], bool] = bool
    sent: int = 0
    resumed: set[str] = field(default_factory=set)
    retried: set[str] = field(default_factory=set)
    retries: bool = False

    async def visit(self, client: VirtualClient) -> None:
        while not self.is_over():
            await asyncio.sleep(1)
            try:
                await self._answer_everybody(client)
            except (StoreError, InboxFull, RunEnded, RunNotFound, NotRetryable) as error:
                self.machine.world.note(f"the closer met {type(error).__name__}")

    async def _answer_everybody(self, client: VirtualClient) -> None:
        for summary in (await client.runs(status="quarantined", limit=1000)).runs:
            if summary.id not in self.resumed:
                self.resumed.add(summary.id)
                await client.run(summary.id).resume()
        for summary in (await client.runs(status="failed", limit=1000)).runs if self.retries else ():
            if summary.id not in self.retried:
                self.retried.add(summary.id)
                await client.run(summary.id).retry()
        for summary in (await client.runs(status="waiting", limit=1000)).runs:
            run = client.run(summary.id)
            for wait in (await run.status()).waiting_for:
                if wait["kind"] == "signal":
                    self.sent += 1
                    await run.signal(wait["topics"][0], {"flow": "closer", "order": self.sent}, key=f"closer{self.sent}")

    def start(self) -> None:
        if not self.is_over():
            super(ClientHost, self).start()
