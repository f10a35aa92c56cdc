"""How long a run with 50,000 records takes to stand where it stood, and whether that grows linearly."""

import time
from contextlib import closing
from dataclasses import replace

import apsw
from figures import Figure
from measuring import Bench, Commits, Lap, until, until_none
from throughput import look_up

from perdure import Engine, receive, workflow
from perdure.settings import DEFAULTS, Settings

SIZES = (10_000, 20_000, 40_000, 50_000)
WAKE_UPS = 3
RECORDS_MOST = 200_000  # by default a run is quarantined at 50,000

woken: list[float] = []
"""One entry for each time the code ran past a signal."""


@workflow
async def long_lived(steps: int) -> None:
    for number in range(steps):
        await look_up(number)
    while await receive("go on", bool):
        woken.append(time.perf_counter())


async def replay(bench: Bench) -> list[Figure]:
    """Build runs of four lengths, let them be parked, and wake each alone: the time from the signal until the code goes on."""
    sizes = [bench.count(size) for size in SIZES]
    settings = replace(DEFAULTS, limits=replace(DEFAULTS.limits, history_records=RECORDS_MOST))
    laps = await replays(bench, settings, sizes)
    reading = [read_seconds(bench, f"steps-{size}") for size in sizes]
    each = [lap.cpu_each(size) for lap, size in zip(laps, sizes, strict=True)]
    whole = [
        Figure(f"replay of {size:,} records", lap.seconds, "s", None, 1.0 * bench.scale if size == sizes[-1] else None, floor, None, cpu)
        for size, lap, floor, cpu in zip(sizes, laps, reading, each, strict=True)
    ]
    growth = Figure(f"CPU for a record, {sizes[2]:,} against {sizes[0]:,} records", each[2] / each[0], "times", None, 1.3)
    return [*reversed(whole), growth]


async def replays(bench: Bench, settings: Settings, sizes: list[int]) -> list[Lap]:
    """The best of several wake-ups for each size: another program's moment on the processor is no property of the replay."""
    async with Engine(bench.url, [long_lived], settings=settings) as engine:
        for size in sizes:
            await engine.start(long_lived, size, id=f"steps-{size}")
        await until_none(engine, "pending", "running")
        best = []
        for size in sizes:
            taken = []
            for number in range(WAKE_UPS):
                taken.append(await wake_up(engine, f"steps-{size}", number + 1))
                await until_none(engine, "running")
            best.append(min(taken, key=lambda lap: lap.seconds))
        return best


async def wake_up(engine: Engine, name: str, time_woken: int) -> Lap:
    """The code runs past the signals of earlier wake-ups again while it replays; what counts is the last one."""
    woken.clear()
    lap = Lap(Commits())
    await engine.run(name).signal("go on", True)
    await until(lambda: len(woken) >= time_woken, interval=0.001)
    return lap.stop()


def read_seconds(bench: Bench, name: str) -> float:
    """The floor: fetching the same rows."""
    with closing(apsw.Connection(str(bench.store))) as db:
        began = time.perf_counter()
        db.execute("select * from history where run_id = ? order by position", (name,)).fetchall()
        return time.perf_counter() - began
