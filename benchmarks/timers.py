"""How late timers fire: 10,000 that are due at the same moment, and one alone."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

from figures import Figure
from measuring import Bench, Commits, Lap, in_flight, percentile, until

from perdure import Engine, sleep_until, workflow

RUNS_IN_FLIGHT = 1000
LONE_TIMERS = 100
LONE_SECONDS_APART = 0.1
PARKED_SECONDS = 3.0  # longer than a wait that is kept in memory
SHORT_SECONDS = 0.05

fired: list[float] = []
"""When the code behind each timer ran: by then its firing was on disk."""

lateness: list[float] = []


@workflow
async def alarm(when: datetime) -> None:
    await sleep_until(when)
    fired.append(time.time())


@workflow
async def lone_alarm(when: datetime) -> None:
    await sleep_until(when)
    lateness.append(time.time() - when.timestamp())


async def many_timers(bench: Bench) -> list[Figure]:
    commits, runs = Commits(), bench.count(10_000)
    async with Engine(bench.url, [alarm]) as engine:
        when = datetime.now(UTC) + timedelta(seconds=max(4.0, runs / 1000))  # all are parked by then
        await in_flight(RUNS_IN_FLIGHT, ((lambda: engine.start(alarm, when)) for _ in range(runs)))
        spare = (when - datetime.now(UTC)).total_seconds()
        assert spare > 0, "starting took longer than the timers"
        await asyncio.sleep(spare - 0.1)
        lap = Lap(commits)
        await until(lambda: len(fired) >= runs)
        lap.stop()
    early = sum(moment < when.timestamp() for moment in fired)
    last = max(fired) - when.timestamp()
    what = f"{runs:,} timers due at the same moment"
    return [
        Figure(f"{what}: fired early", early, "", None, 0),
        Figure(f"{what}: all fired within", last, "s", None, 3.0, None, lap.commits_made, lap.cpu_each(runs)),
    ]


async def lone_timers(bench: Bench) -> list[Figure]:
    """Of runs that were parked, and of one that stays in memory; never two at a time."""
    count = bench.count(LONE_TIMERS, least=20)
    async with Engine(bench.url, [lone_alarm]) as engine:
        begin = datetime.now(UTC) + timedelta(seconds=PARKED_SECONDS)
        for number in range(count):
            when = begin + timedelta(seconds=number * LONE_SECONDS_APART)
            await engine.start(lone_alarm, when)
            await asyncio.sleep(max(0.0, (when - datetime.now(UTC)).total_seconds() - PARKED_SECONDS + LONE_SECONDS_APART / 2))
        await until(lambda: len(lateness) >= count)
        parked = lateness.copy()
        lateness.clear()
        for _ in range(count):
            run = await engine.start(lone_alarm, datetime.now(UTC) + timedelta(seconds=SHORT_SECONDS))
            await run.result()
        in_memory = lateness.copy()
    return [
        Figure("a lone timer of a parked run: late by, p50", percentile(parked, 50) * 1000, "ms"),
        Figure("a lone timer of a parked run: late by, p99", percentile(parked, 99) * 1000, "ms", None, 20),
        Figure("a lone timer of a run in memory: late by, p50", percentile(in_memory, 50) * 1000, "ms"),
        Figure("a lone timer of a run in memory: late by, p99", percentile(in_memory, 99) * 1000, "ms", None, 20),
        Figure("lone timers that fired early", sum(late < 0 for late in (*parked, *in_memory)), "", None, 0),
    ]
