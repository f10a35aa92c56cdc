"""How long `perdure check` takes for 10,000 unfinished runs of 20 records, and what it costs."""

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from typing import Any

import apsw
from figures import Figure
from measuring import Bench, in_flight, until_none

from perdure import Engine, receive, step, workflow

RECORDS = 20
SECONDS_MOST = 20.0


@step
async def look_up(number: int) -> dict[str, Any]:
    return {"number": number, "name": "a name of a usual length", "tags": ["a", "b"]}


@workflow
async def waits_after_steps(steps: int) -> str:
    for number in range(steps):
        await look_up(number)
    return await receive("go on", str)


async def check(bench: Bench) -> list[Figure]:
    """The whole command, from its start to its exit, beside the floor: reading the same rows."""
    runs = bench.count(10_000)
    async with Engine(bench.url, [waits_after_steps]) as engine:

        def start(number: int) -> Any:
            return engine.start(waits_after_steps, RECORDS - 1, id=f"run-{number}")

        await in_flight(200, ((lambda number=number: start(number)) for number in range(runs)))
        await until_none(engine, "pending", "running")
    seconds, cpu = command(bench, runs)
    what = f"check of {runs:,} runs of {RECORDS} records"
    return [Figure(what, seconds, "s", None, SECONDS_MOST, read_seconds(bench), None, cpu / runs * 1e6)]


def command(bench: Bench, runs: int) -> tuple[float, float]:
    """Wall time, and processor time of it and of the processes that it starts."""
    line = [sys.executable, "-m", "perdure", "check", __file__, "--store", bench.url, "-o", "json", "--no-lint"]
    began, before = time.perf_counter(), os.times()
    ended = subprocess.run(line, capture_output=True, check=True)
    taken, after = time.perf_counter() - began, os.times()
    found = json.loads(ended.stdout)
    assert (found["ok"], found["replayed"]) == (True, runs), found
    return taken, after.children_user + after.children_system - before.children_user - before.children_system


def read_seconds(bench: Bench) -> float:
    with closing(apsw.Connection(str(bench.store))) as db:
        began = time.perf_counter()
        db.execute("select * from history").fetchall()
        return time.perf_counter() - began
