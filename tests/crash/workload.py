"""The workflows of these tests: each step tells the ledger when it begins and ends, and what the code had seen by then."""

import asyncio
import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from perdure import Retry, continue_as_new, info, now, patched, receive, saga, step, workflow
from perdure.errors import StepOutcomeUnknown
from tests.crash.effects import tell

FLAKY_ATTEMPTS = 3
NAP_SECONDS = 0.03

gates = Path()
"""Where steps that wait for the test look for a file of their name; set by the process."""


def is_open(gate: str) -> bool:
    """Also when the test is over."""
    return (gates / gate).exists() or not gates.exists()


_counter = itertools.count()


@contextmanager
def body(previous: str | None = None) -> "Iterator[str]":
    """BEGIN and END around what a step does; gives the value it has to return, which no other attempt gives."""
    me = info()
    assert me.idempotency_key is not None
    _, run, generation, command = me.idempotency_key.rsplit("/", 3)
    value = f"{run}/{command}/{me.attempt}/{os.getpid()}-{next(_counter)}"
    place = {"run": run, "generation": int(generation), "command": int(command), "step": me.step, "attempt": me.attempt}
    tell("begin", **place, previous=previous, token=me.fencing_token, value=value)
    try:
        yield value
    except BaseException as error:
        tell("failed", **place, token=me.fencing_token, error=type(error).__name__)
        raise
    tell("end", **place, token=me.fencing_token, value=value)


@step
async def effect(previous: str | None = None) -> str:
    with body(previous) as value:
        return value


@step
def sync_effect(previous: str | None = None) -> str:
    with body(previous) as value:
        return value


@step(retry=Retry(initial=0.02, jitter=0))
async def flaky(previous: str | None = None) -> str:
    with body(previous) as value:
        if (info().attempt or 0) < FLAKY_ATTEMPTS:
            raise RuntimeError("not yet")
        return value


@step(at_most_once=True, retry=Retry(attempts=1))
async def once(previous: str | None = None) -> str:
    with body(previous) as value:
        return value


@step(retry=Retry(initial=4, jitter=0))
async def fails_once(previous: str | None = None) -> str:
    """Tried again after some time: long enough to be stopped in between."""
    with body(previous) as value:
        if info().attempt == 1:
            raise RuntimeError("not yet")
        return value


@step
async def gated(gate: str, previous: str | None = None) -> str:
    """Goes on when the test opens the gate."""
    with body(previous) as value:
        while not is_open(gate):
            await asyncio.sleep(0.003)
        return value


@step
def sync_gated(gate: str, previous: str | None = None) -> str:
    with body(previous) as value:
        while not is_open(gate):
            time.sleep(0.003)
        return value


@workflow
async def sequence(steps: int) -> list[str]:
    values: list[str] = []
    for _ in range(steps):
        values.append(await effect(values[-1] if values else None))
    return values


@workflow
async def waits(gate: str) -> list[str]:
    """A step before, one that waits for the test, one after."""
    before = await effect()
    held = await gated(gate, before)
    return [before, held, await effect(held)]


@workflow
async def sync_waits(gate: str) -> list[str]:
    before = await effect()
    held = await sync_gated(gate, before)
    return [before, held, await effect(held)]


@workflow
async def tries_again() -> str:
    return await fails_once()


async def nap(naps: list[list[float]], seconds: float) -> None:
    began = now()
    await asyncio.sleep(seconds)
    naps.append([seconds, seconds_between(began, now())])


def seconds_between(began: datetime, ended: datetime) -> float:
    return (ended - began).total_seconds()


@workflow
async def everything(signals: int) -> dict[str, Any]:
    """All that a run can do on one machine, in little."""
    values = [await effect()]
    values += await asyncio.gather(effect(values[-1]), sync_effect(values[-1]), flaky(values[-1]))
    naps: list[list[float]] = []
    await nap(naps, NAP_SECONDS)
    unknown = 0
    try:
        values.append(await once(values[-1]))
    except StepOutcomeUnknown:
        unknown += 1
    try:
        await receive("never", timeout=NAP_SECONDS)
    except TimeoutError:
        values.append(await effect(values[-1]))
    received = [await receive("go", timeout=600) for _ in range(signals)]
    values.append(await sync_effect(values[-1]))
    return {"values": values, "naps": naps, "received": received, "unknown": unknown}


@workflow
async def listens(signals: int) -> list[Any]:
    """Waits for signals only."""
    return [await receive("go", timeout=600) for _ in range(signals)]


@workflow
async def either(seconds: float) -> str:
    """A signal or its deadline; whichever is recorded first."""
    try:
        await receive("go", timeout=seconds)
    except TimeoutError:
        return f"deadline {await effect()}"
    return f"signal {await effect()}"


class Refused(Exception):
    """Why a trip is called off."""


@workflow
async def trip(steps: int) -> list[str]:
    """Books, is refused, and undoes what it booked."""
    values: list[str] = []
    try:
        async with saga() as undo:
            for number in range(steps):
                values.append(await effect(values[-1] if values else None))
                undo((flaky, sync_effect)[number % 2], values[-1])
            if patched("refuse"):
                raise Refused
    except Refused:
        return values
    return []


@workflow
async def chapters(more: int, values: list[str]) -> list[str]:
    """A step and a signal in each generation; what comes too early waits for the next."""
    values.append(await effect(values[-1] if values else None))
    await receive("go", timeout=600)
    if more:
        await continue_as_new(more - 1, values)
    return values


@workflow
async def cleans_up() -> None:
    """Waits until it is cancelled, then cleans up at some length."""
    value = await effect()
    try:
        await asyncio.sleep(600)
    finally:
        value = await effect(value)
        await asyncio.sleep(NAP_SECONDS)
        await sync_effect(value)


@step
async def breaks_once(previous: str) -> str:
    """What it needs is there from the second body on: as after a repair."""
    with body(previous) as value:
        if not is_open("repaired"):
            (gates / "repaired").touch()
            raise ValueError("broken")
        return value


@workflow
async def repairable() -> list[str]:
    """Fails in its second step the first time."""
    before = await effect()
    between = await breaks_once(before)
    return [before, between, await effect(between)]


WORKFLOWS = {
    one.name: one for one in (sequence, waits, sync_waits, tries_again, everything, listens, either, trip, chapters, cleans_up, repairable)
}
