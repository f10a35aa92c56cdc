"""How fast a signal wakes a run that waits for it: 2,000 at once, and one alone, from this process and from another."""

import asyncio
import sys
import time

from figures import Figure
from measuring import Bench, Lap, another_process, in_flight, percentile, until, until_none

from perdure import Client, Engine, receive, workflow

RUNS_IN_FLIGHT = 500
SIGNALS_IN_FLIGHT = 500
LONE_SIGNALS = 100
PAUSE_SECONDS = 0.02  # between two lone signals, so that nothing of the one before is left

received: list[float] = []
"""How long after it was sent the code behind each `receive` ran: by then the signal's record was on disk."""


@workflow
async def decision(number: int) -> float:
    sent = await receive("decided", float)
    received.append(time.time() - sent)
    return sent + number


async def many_signals(bench: Bench) -> list[Figure]:
    """To runs that are parked."""
    commits, runs = bench.trips(), bench.count(2000)
    async with Engine(bench.url, [decision]) as engine:
        names = await parked(engine, runs)
        lap = Lap(commits)
        await in_flight(SIGNALS_IN_FLIGHT, ((lambda name=name: engine.run(name).signal("decided", time.time())) for name in names))
        await until(lambda: len(received) >= runs)
        lap.stop()
        await until_none(engine, "waiting", "running")
    rows = {"history": "kind in ('signal', 'completed')", "signal_keys": "true"}
    floor = runs / await bench.seconds_to_write(rows)
    what = f"{runs:,} signals to {runs:,} waiting runs, sent to recorded"
    return [Figure(what, runs / lap.seconds, "signals/s", bench.aim(3000, None), None, floor, lap.commits_made, lap.cpu_each(runs))]


async def lone_signals(bench: Bench) -> list[Figure]:
    """One at a time, each to a run that is parked."""
    count = bench.count(LONE_SIGNALS, least=20)
    async with Engine(bench.url, [decision]) as engine:
        for name in await parked(engine, count):
            await engine.run(name).signal("decided", time.time())
            await asyncio.sleep(PAUSE_SECONDS)
        await until(lambda: len(received) >= count)
        within = received.copy()
        received.clear()
        names = await parked(engine, count)
        sender = another_process("wakeups.py", bench.url, *names)
        await until(lambda: len(received) >= count)
        from_another = received.copy()
        sender.communicate()
    floor = await bench.lone_commit_milliseconds()
    return [
        Figure("one signal to a parked run, same process, p50", percentile(within, 50) * 1000, "ms", None, bench.aim(2, None), floor),
        Figure("one signal to a parked run, same process, p99", percentile(within, 99) * 1000, "ms", None, None, floor),
        Figure(
            "one signal to a parked run, another process, p50", percentile(from_another, 50) * 1000, "ms", None, bench.aim(10, None), floor
        ),
        Figure("one signal to a parked run, another process, p99", percentile(from_another, 99) * 1000, "ms", None, None, floor),
    ]


async def parked(engine: Engine, count: int) -> list[str]:
    """Ids of so many new runs, when all of them wait and none is in memory."""
    names: list[str] = []

    async def start() -> None:
        names.append((await engine.start(decision, len(names))).id)

    await in_flight(RUNS_IN_FLIGHT, (start for _ in range(count)))
    await until_none(engine, "pending", "running")
    return names


async def send_from_here(url: str, names: list[str]) -> None:
    async with Client(url) as client:
        for name in names:
            await client.run(name).signal("decided", time.time())
            await asyncio.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    asyncio.run(send_from_here(sys.argv[1], sys.argv[2:]))
