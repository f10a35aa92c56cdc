"""What 100,000 runs that wait for a day cost: to start, on disk, in memory and in processor time."""

import asyncio
import json
import os
import sys
import time

from figures import Figure
from floor import seconds_to_write
from measuring import Bench, Commits, Lap, another_process, in_flight, processor_share, resident_bytes, until_none

from perdure import Engine, step, workflow

DAY = 24 * 3600
RUNS_IN_FLIGHT = 1000
IDLE_SECONDS = 10
MEGABYTE = 1_000_000


@step
async def remind(customer: int) -> int:
    return customer


@workflow
async def reminder(customer: int) -> int:
    await asyncio.sleep(DAY)
    return await remind(customer)


async def wait_for_a_day(bench: Bench) -> list[Figure]:
    """Start them, let them all be parked, and do nothing for ten seconds; then the same in a process that finds them waiting."""
    commits, runs = Commits(), bench.count(100_000)
    async with Engine(bench.url, [reminder]) as engine:
        lap = Lap(commits)
        await in_flight(RUNS_IN_FLIGHT, ((lambda number=number: engine.start(reminder, number)) for number in range(runs)))
        lap.stop()
        await until_none(engine, "pending", "running")
        own = await idle()
    size = bench.store.stat().st_size / runs
    floor_seconds = seconds_to_write(bench.store)
    floor_size = bench.store.with_name("floor.db").stat().st_size / runs
    later = begun_afterwards(bench)
    name = f"{runs:,} runs waiting for a day"
    return [
        Figure(f"{name}: started", runs / lap.seconds, "runs/s", 5000, None, runs / floor_seconds, lap.commits_made, lap.cpu_each(runs)),
        Figure(f"{name}: database each", size, "bytes", None, 1024, floor_size),
        Figure(f"{name}: memory of the worker that started them", own["resident"] / MEGABYTE, "MB", None, 60),
        Figure(f"{name}: its peak", own["peak"] / MEGABYTE, "MB"),
        Figure(f"{name}: its CPU while idle", own["processor"], "%", None, 1),
        Figure(f"{name}: memory of a worker begun later", later["resident"] / MEGABYTE, "MB", None, 60),
        Figure(f"{name}: its CPU while idle", later["processor"], "%", None, 1),
        Figure("a process that has imported perdure and does nothing", later["imported"] / MEGABYTE, "MB"),
    ]


async def idle() -> dict[str, float]:
    begin, began = os.times(), time.perf_counter()
    await asyncio.sleep(IDLE_SECONDS)
    share = processor_share(time.perf_counter() - began, begin, os.times())
    return {"processor": share, "resident": resident_bytes(), "peak": resident_bytes("VmHWM")}


def begun_afterwards(bench: Bench) -> dict[str, float]:
    answer, _ = another_process("waiting.py", bench.url).communicate()
    found: dict[str, float] = json.loads(answer)
    return found


async def find_them_waiting(url: str) -> None:
    imported = resident_bytes()
    async with Engine(url, [reminder]):
        await asyncio.sleep(1)  # its first sweep
        print(json.dumps({"imported": imported, **await idle()}))


if __name__ == "__main__":
    asyncio.run(find_them_waiting(sys.argv[1]))
