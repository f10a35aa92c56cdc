"""How long one run takes when it is alone."""

import time
from itertools import pairwise

from figures import Figure
from measuring import Bench, Lap, percentile
from throughput import look_up

from perdure import Engine, workflow

at: list[float] = []
"""When the code of `clocked` stood behind each of its steps."""


@workflow
async def single(number: int) -> int:
    return len(await look_up(number))


@workflow
async def clocked(steps: int) -> None:
    for number in range(steps):
        await look_up(number)
        at.append(time.perf_counter())


async def alone(bench: Bench) -> list[Figure]:
    """One run at a time, from start to result; and one run of many steps, from each step to the next."""
    commits, runs, steps = bench.trips(), bench.count(300, least=100), bench.count(1000, least=100)
    taken = []
    async with Engine(bench.url, [single, clocked]) as engine:
        await (await engine.start(single, 0)).result()  # the first one builds its codecs
        lap = Lap(commits)
        for number in range(runs):
            began = time.perf_counter()
            run = await engine.start(single, number)
            await run.result()
            taken.append(time.perf_counter() - began)
        lap.stop()
        steps_lap = Lap(commits)
        await (await engine.start(clocked, steps)).result()
        steps_lap.stop()
    between = [later - earlier for earlier, later in pairwise(at)]
    floor = await bench.lone_commit_milliseconds()
    return [
        _latency("one run alone, start to result, p50", percentile(taken, 50), bench.aim(2.0, 3.0), floor, lap, runs),
        _latency("one run alone, start to result, p99", percentile(taken, 99), None, floor, lap, runs),
        _latency("one run alone, each further step, p50", percentile(between, 50), bench.aim(0.5, 1.0), floor, steps_lap, steps),
    ]


def _latency(name: str, seconds: float, at_most: float | None, floor: float, lap: Lap, count: int) -> Figure:
    return Figure(name, seconds * 1000, "ms", None, at_most, floor, lap.commits_made / count, lap.cpu_each(count))
