"""F56: what a replay costs grows with its history and not faster, whatever the history consists of."""

import asyncio
import sys
from types import FrameType
from typing import Any

import pytest

from perdure import receive, step, workflow
from perdure.authoring.workflow import Workflow
from perdure.clock import SECOND
from perdure.model.records import Record, RecordKind
from tests.driving import BEGAN, PAYLOAD_BYTES_MOST, attempt, new_execution

SHORT, LONG = 200, 1600
GROWTH_MOST = 1.15  # of the cost of one record, from the short history to one eight times as long


@step
async def work(number: int) -> int:
    return number


@workflow
async def steps(count: int) -> int:
    return sum([await work(number) for number in range(count)])


@workflow
async def gathered(count: int) -> int:
    return sum(await asyncio.gather(*(work(number) for number in range(count))))


@workflow
async def received(count: int) -> int:
    return sum([await receive("number", int) for _ in range(count)])


@workflow
async def slept(count: int) -> int:
    for _ in range(count):
        await asyncio.sleep(1)
    return count


def recorded(flow: Workflow[..., Any], count: int) -> list[Record]:
    """A history with so many records of what it waits for, made without replaying anything."""
    execution = new_execution(flow, flow.parameters.encode((count,), {}, limit=PAYLOAD_BYTES_MOST))
    history = [Record(1, BEGAN, RecordKind.STARTED)]
    execution.apply(history[0])
    while execution.outcome is None:
        position, at = len(history) + 1, BEGAN + len(history) * SECOND
        due = execution.due(at)
        if fresh := execution.take_fresh():
            batch = [attempt(command) for command in fresh]
        elif due:
            batch = [Record(0, 0, RecordKind.TIMER, command=number) for _, number in due[:1]]
        else:
            batch = [Record(0, 0, RecordKind.SIGNAL, "number", output=b"1")]
        for offset, record in enumerate(batch):
            history.append(record._replace(position=position + offset, at=at))
            execution.apply(history[-1])
    execution.close()
    return history


def calls_of_a_replay(flow: Workflow[..., Any], count: int) -> int:
    """How many Python functions are called: the same on every machine."""
    history = recorded(flow, count)
    execution = new_execution(flow, flow.parameters.encode((count,), {}, limit=PAYLOAD_BYTES_MOST))
    calls = 0

    def counted(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        for record in history:
            execution.apply(record)
    finally:
        sys.setprofile(None)
    assert execution.outcome is not None
    execution.close()
    return calls


@pytest.mark.parametrize("flow", [steps, gathered, received, slept], ids=lambda flow: flow.name)
def test_f56_a_history_eight_times_as_long_costs_eight_times_as_much_to_replay(flow: Workflow[..., Any]) -> None:
    short, long = calls_of_a_replay(flow, SHORT) / SHORT, calls_of_a_replay(flow, LONG) / LONG

    assert long <= short * GROWTH_MOST
