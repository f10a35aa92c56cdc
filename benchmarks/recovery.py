"""SIGKILL with 10,000 unfinished runs: how soon another process makes progress, and whether all of them finish."""

import asyncio
import sys
import time

from figures import Figure
from measuring import Bench, Commits, Lap, another_process, in_flight, until

from perdure import Engine, Run, step, workflow

RUNS_IN_FLIGHT = 1000
STANDSTILL_SECONDS = 0.5

hangs = False
"""Whether this process is the one to be killed: there nobody gets beyond `pay`."""

shipped: list[float] = []
"""When each `ship` began: by then the record of its `pay` was on disk."""


@step
async def reserve(order: int) -> int:
    return order


@step
async def pay(order: int) -> int:
    if hangs:
        await asyncio.Event().wait()
    return order


@step
async def ship(order: int) -> int:
    shipped.append(time.perf_counter())
    return order


@workflow
async def fulfil(order: int) -> int:
    return await ship(await pay(await reserve(order)))


async def recover(bench: Bench) -> list[Figure]:
    """A worker with all of its memory full of runs is killed; this process then opens the store."""
    commits, runs = Commits(), bench.count(10_000)
    with another_process("recovery.py", bench.url, str(runs)) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == "standing still\n"
        victim.kill()
    async with Engine(bench.url, [fulfil]) as engine:
        ready = time.perf_counter()
        lap = Lap(commits)
        await until(lambda: len(shipped) >= runs)
        await in_flight(100, (engine.run(name(number)).result for number in range(runs)))
        lap.stop()
        repeated = len(shipped) - runs
    first = max(0.0, min(shipped) - ready)
    what = f"SIGKILL with {runs:,} unfinished runs"
    return [
        Figure(f"{what}: ready to first progress", first, "s", None, 1.0),
        Figure(f"{what}: ready to all finished", lap.seconds, "s", None, None, None, lap.commits_made, lap.cpu_each(runs)),
        Figure(f"{what}: steps begun twice", repeated, "", None, 0),
    ]


def name(order: int) -> str:
    return f"order-{order}"


async def stand_still(url: str, runs: int) -> None:
    """Start them all, get as far as nobody gets further, say so, and wait to be killed."""
    global hangs
    hangs = True
    async with Engine(url, [fulfil]) as engine:

        def start(number: int) -> "asyncio.Future[Run]":
            return asyncio.ensure_future(engine.start(fulfil, number, id=name(number)))

        await in_flight(RUNS_IN_FLIGHT, ((lambda number=number: start(number)) for number in range(runs)))
        before = -1
        while before != engine.worker.checkpoints:
            before = engine.worker.checkpoints
            await asyncio.sleep(STANDSTILL_SECONDS)
        print("standing still", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(stand_still(sys.argv[1], int(sys.argv[2])))
