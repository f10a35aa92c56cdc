"""How many steps and how many runs a second."""

import asyncio

from figures import Figure
from measuring import Bench, Lap, in_flight

from perdure import Engine, step, workflow

STEPS_EACH = 50
RUNS_IN_FLIGHT = 800


@step
async def look_up(number: int) -> dict[str, object]:
    return {"number": number, "text": "x" * 60}


@workflow
async def sequence(steps: int) -> int:
    total = 0
    for number in range(steps):
        found = await look_up(number)
        total += len(str(found["text"]))
    return total


async def many_steps(bench: Bench) -> list[Figure]:
    """200 runs of 50 steps, one after another in each run."""
    commits, runs = bench.trips(), bench.count(200)
    async with Engine(bench.url, [sequence]) as engine:
        lap = Lap(commits)
        started = await asyncio.gather(*(engine.start(sequence, STEPS_EACH) for _ in range(runs)))
        await asyncio.gather(*(run.result() for run in started))
        lap.stop()
    steps = runs * STEPS_EACH
    floor = steps / await bench.seconds_to_write()
    name = f"{runs:,} runs of {STEPS_EACH} sequential steps"
    return [Figure(name, steps / lap.seconds, "steps/s", bench.aim(15_000, 8000), None, floor, lap.commits_made, lap.cpu_each(steps))]


async def many_runs(bench: Bench) -> list[Figure]:
    """10,000 runs of one step (5,000 on PostgreSQL), 800 at a time, from start to recorded result."""
    commits, runs = bench.trips(), bench.count(10_000 if bench.server is None else 5000)
    async with Engine(bench.url, [sequence]) as engine:

        async def one() -> None:
            run = await engine.start(sequence, 1)
            await run.result()

        lap = Lap(commits)
        await in_flight(RUNS_IN_FLIGHT, (one for _ in range(runs)))
        lap.stop()
    floor = runs / await bench.seconds_to_write()
    aim = bench.aim(5000, 3000)
    return [Figure(f"{runs:,} runs of one step", runs / lap.seconds, "runs/s", aim, None, floor, lap.commits_made, lap.cpu_each(runs))]
