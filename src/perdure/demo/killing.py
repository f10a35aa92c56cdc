"""Kill the worker at a given moment, and make certain that it was at work."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from perdure.demo.processes import DemoFailed, WorkerProcess
from perdure.model.states import RunState
from perdure.store.protocol import Store

_LOOK_SECONDS = 0.01
_UP_WITHIN_SECONDS = 15.0
_MANY = 4  # runs that it is better to hit than one
_FOR_MANY_SECONDS = 0.6  # how long they are waited for
_NUDGE_SECONDS = 0.1  # between two things that the worker is given to do
_GIVE_UP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Kill:
    """One SIGKILL. `owned`: the unfinished runs that belonged to the dead worker, read after its death and before the next one."""

    at: int  # microseconds since 1970
    pid: int
    owned: tuple[str, ...]


async def kill_at_work(store: Store, worker: WorkerProcess, after_seconds: float, nudge: Callable[[bool], Awaitable[None]]) -> Kill:
    """Wait the given time, then until the worker owns some runs, or at least one, and kill it.

    `nudge` gives it something to do, urgently or not. What the worker finished between the last look and its death does not count
    as owned: the answer may be a kill with nothing owned.
    """
    pid = worker.pid
    await asyncio.sleep(after_seconds)
    await _until_at_work(store, worker, nudge)
    worker.kill()
    at = time.time_ns() // 1000
    return Kill(at, pid, await owned_runs(store, pid))


async def _until_at_work(store: Store, worker: WorkerProcess, nudge: Callable[[bool], Awaitable[None]]) -> None:
    began = nudged = time.monotonic()
    while (owned := len(await owned_runs(store, worker.pid))) < _MANY:
        now = time.monotonic()
        if owned and now - began > _FOR_MANY_SECONDS:
            return
        if now - began > _GIVE_UP_SECONDS:
            raise DemoFailed("the worker had nothing left to do, so it could not be killed at work")
        if now - nudged > _NUDGE_SECONDS:
            nudged = now
            await nudge(owned == 0)
        await asyncio.sleep(_LOOK_SECONDS)


async def until_up(store: Store, worker: WorkerProcess) -> None:
    """Up: it has taken its place among the workers of the store."""
    deadline = time.monotonic() + _UP_WITHIN_SECONDS
    while not any(one.pid == worker.pid and one.state == "live" for one in await store.workers()):
        if time.monotonic() > deadline:
            raise DemoFailed(f"the worker was not up within {_UP_WITHIN_SECONDS:g} s; see worker.log")
        await asyncio.sleep(_LOOK_SECONDS)


async def owned_runs(store: Store, pid: int) -> tuple[str, ...]:
    """The unfinished runs that belong to the worker with this process id, dead or alive."""
    incarnations = {one.incarnation for one in await store.workers() if one.pid == pid}
    running = [await store.run(one.id) for one in await store.runs(state=RunState.RUNNING, limit=1000)]
    return tuple(row.id for row in running if row is not None and row.owner in incarnations and not row.state.is_final)
