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
_IDLE_SECONDS = 0.25  # how long the worker may own nothing before it is given something to do
_BUSY_WITHIN_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Kill:
    """One SIGKILL. `owned`: the unfinished runs that belonged to the dead worker, read after its death and before the next one."""

    at: int  # microseconds since 1970
    pid: int
    owned: tuple[str, ...]


async def kill_at_work(store: Store, worker: WorkerProcess, after_seconds: float, busy: Callable[[], Awaitable[bool]]) -> Kill:
    """Wait the given time, then until the worker owns a run, and kill it.

    `busy` gives it something to do; False: there is nothing left. What the worker finished between the last look and its death
    does not count as owned: the answer may be a kill with nothing owned.
    """
    pid = worker.pid
    await asyncio.sleep(after_seconds)
    deadline, idle_since = time.monotonic() + _BUSY_WITHIN_SECONDS, time.monotonic()
    while not await owned_runs(store, worker.pid):
        if time.monotonic() - idle_since > _IDLE_SECONDS:
            idle_since = time.monotonic()
            if not await busy() and time.monotonic() > deadline:
                raise DemoFailed("the worker had nothing left to do, so it could not be killed at work")
        await asyncio.sleep(_LOOK_SECONDS)
    worker.kill()
    at = time.time_ns() // 1000
    return Kill(at, pid, await owned_runs(store, pid))


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
