"""Where the time goes: `python benchmarks/breakdown.py [steps|runs|alone|signals|timers|replay]`, microseconds each, by part.

Processor time comes from the clocks of the threads in a run without a profiler; the profiler then only says how each thread divides it.
"""

import argparse
import asyncio
import cProfile
import gc
import pstats
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from latency import single
from measuring import Bench, default_folder, in_flight, until, until_none
from replaying import long_lived, wake_up, woken
from throughput import RUNS_IN_FLIGHT, STEPS_EACH, sequence
from timers import alarm, fired
from wakeups import SIGNALS_IN_FLIGHT, decision, parked, received

from perdure import Engine
from perdure.store.sqlite.transactions import Transactions

Work = Callable[[Engine], AsyncIterator[int]]
"""Prepares and yields 0; then does what is measured and yields how many it did."""

T = TypeVar("T")
Place = tuple[str, int, str]
"""Path, line and name of a function."""
SHOWN_FUNCTIONS = 25
MAIN, WRITER = "MainThread", "perdure-writer"

PARTS = {
    "perdure/runtime/": "the run's own loop, replay",
    "perdure/authoring/": "the run's own loop, replay",
    "perdure/codec/": "values to bytes and back",
    "pydantic": "values to bytes and back",
    "json/": "values to bytes and back",
    "perdure/engine/attempts": "attempts of steps",
    "perdure/engine/attempt": "attempts of steps",
    "perdure/engine/crumbs": "attempts of steps",
    "perdure/engine/committer": "building batches",
    "perdure/engine/": "deciding what is next",
    "perdure/client": "start and result",
    "perdure/run": "start and result",
    "perdure/ids": "start and result",
    "perdure/store/": "the store",
    "perdure/model/": "the store",
    "asyncio/": "asyncio",
    "selectors": "asyncio",
    "threading": "asyncio",
}
"""Part of a path -> in words; the first that fits."""


async def steps(engine: Engine) -> AsyncIterator[int]:
    yield 0
    started = await asyncio.gather(*(engine.start(sequence, STEPS_EACH) for _ in range(200)))
    await asyncio.gather(*(run.result() for run in started))
    yield 200 * STEPS_EACH


async def runs(engine: Engine) -> AsyncIterator[int]:
    count = 5000

    async def one() -> None:
        await (await engine.start(sequence, 1)).result()

    yield 0
    await in_flight(RUNS_IN_FLIGHT, (one for _ in range(count)))
    yield count


async def alone(engine: Engine) -> AsyncIterator[int]:
    count = 300
    yield 0
    for number in range(count):
        await (await engine.start(single, number)).result()
    yield count


async def signals(engine: Engine) -> AsyncIterator[int]:
    count = 2000
    names = await parked(engine, count)
    yield 0
    await in_flight(SIGNALS_IN_FLIGHT, ((lambda name=name: engine.run(name).signal("decided", time.time())) for name in names))
    await until(lambda: len(received) >= count)
    yield count


async def lone(engine: Engine) -> AsyncIterator[int]:
    count = 200
    names = await parked(engine, count)
    yield 0
    for number, name in enumerate(names, 1):
        await engine.run(name).signal("decided", time.time())
        await until(lambda number=number: len(received) >= number, interval=0.001)
    yield count


async def timers(engine: Engine) -> AsyncIterator[int]:
    count, when = 5000, datetime.now(UTC) + timedelta(seconds=8)
    await in_flight(RUNS_IN_FLIGHT, ((lambda: engine.start(alarm, when)) for _ in range(count)))
    await asyncio.sleep((when - datetime.now(UTC)).total_seconds() - 0.1)
    yield 0
    await until(lambda: len(fired) >= count)
    yield count


async def replay(engine: Engine) -> AsyncIterator[int]:
    count = 10_000
    await engine.start(long_lived, count, id="long")
    await until_none(engine, "pending", "running")
    yield 0
    await wake_up(engine, "long", 1)
    yield count


WORK: dict[str, Work] = {
    "steps": steps,
    "runs": runs,
    "alone": alone,
    "signals": signals,
    "wake-up": lone,
    "timers": timers,
    "replay": replay,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="breakdown.py", description=__doc__)
    parser.add_argument("work", nargs="*", help=", ".join(WORK))
    names = parser.parse_args().work or list(WORK)
    if unknown := set(names) - set(WORK):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(WORK)}")
    for name in names:
        show(name, WORK[name])


def show(name: str, work: Work) -> None:
    clocks, collector = in_engine(lambda engine: by_threads(engine, work))
    print(f"\n{name}: {clocks.pop('wall'):.1f} us wall each")
    for thread, microseconds in clocks.items():
        print(f"  {microseconds:8.1f} us  {thread}")
    print(f"  {collector:8.1f} us  of these in the garbage collector")
    for thread, profile in in_engine(lambda engine: profiled(engine, work)).items():
        show_thread(thread, profile, clocks.get(thread, 0.0))


def in_engine(measure: Callable[[Engine], Awaitable[T]]) -> T:
    for entries in (fired, received, woken):
        entries.clear()
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=default_folder()) as folder:
        return asyncio.run(in_loop(Bench(Path(folder).resolve()), measure))


async def in_loop(bench: Bench, measure: Callable[[Engine], Awaitable[T]]) -> T:
    async with Engine(bench.url, [sequence, single, decision, alarm, long_lived]) as engine:
        await (await engine.start(sequence, 3)).result()  # builds the codecs
        return await measure(engine)


# ── clocks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def by_threads(engine: Engine, work: Work) -> tuple[dict[str, float], float]:
    """Microseconds each: wall time and the processor time of every thread; and what the garbage collector takes of it."""
    working = work(engine)
    await anext(working)
    began, before = time.perf_counter(), thread_clocks()
    with collector_clock() as collected:
        count = await anext(working)
    wall, after = time.perf_counter() - began, thread_clocks()
    each = {name: (seconds - before.get(name, 0.0)) / count * 1e6 for name, seconds in after.items()}
    return {"wall": wall / count * 1e6, **{name: value for name, value in each.items() if value >= 0.1}}, sum(collected) / count * 1e6


def thread_clocks() -> dict[str, float]:
    alive = [thread for thread in threading.enumerate() if thread.ident is not None]
    return {thread.name: time.clock_gettime(time.pthread_getcpuclockid(thread.ident)) for thread in alive}


@contextmanager
def collector_clock() -> Iterator[list[float]]:
    """Seconds of each collection."""
    seconds: list[float] = []
    began = 0.0

    def collecting(phase: str, _info: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.thread_time()
        else:
            seconds.append(time.thread_time() - began)

    gc.callbacks.append(collecting)
    try:
        yield seconds
    finally:
        gc.callbacks.remove(collecting)


# ── profiles ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def profiled(engine: Engine, work: Work) -> dict[str, cProfile.Profile]:
    """One profile of the event loop's thread, one of the writer's transactions. The garbage collector is off: it would blame anybody."""
    main_thread, writer = cProfile.Profile(time.thread_time), cProfile.Profile(time.thread_time)
    working = work(engine)
    await anext(working)
    gc.disable()
    with profiled_writer(writer):
        main_thread.enable()
        await anext(working)
        main_thread.disable()
    gc.enable()
    return {MAIN: main_thread, WRITER: writer}


@contextmanager
def profiled_writer(profile: cProfile.Profile) -> Iterator[None]:
    run = Transactions.run

    def run_profiled(self: Transactions, functions: object) -> object:
        if threading.current_thread().name != WRITER:
            return run(self, functions)
        return profile.runcall(run, self, functions)

    Transactions.run = run_profiled
    try:
        yield
    finally:
        Transactions.run = run


def show_thread(thread: str, profile: cProfile.Profile, microseconds: float) -> None:
    stats = pstats.Stats(profile)
    total = sum(timing[2] for timing in stats.stats.values())
    parts: Counter[str] = Counter()
    for place, (_, _, own, _, callers) in stats.stats.items():
        for caller, share in shares(place, own, callers):
            parts[part_of(caller)] += share / total * microseconds
    print(f"  {thread}: {microseconds:.1f} us")
    for part, value in parts.most_common():
        print(f"    {value:6.1f} us  {part}")
    print("    the functions that take most, by themselves:")
    slowest = sorted(stats.stats.items(), key=lambda item: -item[1][2])[:SHOWN_FUNCTIONS]
    for (path, line, function), (_, calls, own, _, _) in slowest:
        print(f"    {own / total * microseconds:6.1f} us  {calls:8,} calls  {short(path)}:{line} {function}")


def shares(place: Place, own: float, callers: dict[Place, tuple[int, int, float, float]]) -> Iterator[tuple[str, float]]:
    """Time in C counts for the Python code that called it."""
    if place[0] != "~" or not callers:
        yield place[0], own
        return
    for caller, timing in callers.items():
        yield caller[0], timing[2]


def part_of(path: str) -> str:
    normal = path.replace("\\", "/")
    return next((part for piece, part in PARTS.items() if piece in normal), "everything else")


def short(path: str) -> str:
    return "/".join(Path(path).parts[-2:])


if __name__ == "__main__":
    sys.exit(main())
