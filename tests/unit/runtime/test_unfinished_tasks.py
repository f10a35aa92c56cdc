"""F61: a workflow that ends with tasks still running says so once, with the run and the tasks."""

import asyncio
import logging

import pytest

from perdure import workflow
from tests.driving import VirtualEngine, new_execution, replay


@workflow
async def leaves_tasks() -> str:
    async def remind() -> None:
        await asyncio.sleep(3600)

    tasks = [asyncio.create_task(remind(), name=f"reminder-{number}") for number in range(12)]
    assert tasks
    await asyncio.sleep(1)
    return "done"


@workflow
async def fails_with_a_task() -> None:
    task = asyncio.create_task(asyncio.sleep(3600), name="reminder")
    await asyncio.sleep(1)
    raise ValueError(f"not {task.done()}")


@workflow
async def cancels_its_task() -> str:
    task = asyncio.create_task(asyncio.sleep(3600))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.gather(task, asyncio.sleep(0), return_exceptions=True)
    async with asyncio.timeout(5):
        await asyncio.sleep(1)
    return "done"


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    caplog.clear()
    return found


def test_f61_tasks_that_still_run_at_the_end_are_named_and_bounded(caplog: pytest.LogCaptureFixture) -> None:
    with VirtualEngine(leaves_tasks).run() as engine:
        (message,) = warnings(caplog)
        assert f"run {engine.execution.run_id} has ended with tasks still running" in message
        assert "reminder-0 (leaves_tasks.<locals>.remind)" in message
        assert message.count("reminder-") == 10
        assert "and 2 more" in message


def test_a_run_that_fails_names_them_too(caplog: pytest.LogCaptureFixture) -> None:
    with VirtualEngine(fails_with_a_task).run():
        (message,) = warnings(caplog)
        assert "reminder (sleep)" in message


def test_tasks_that_were_awaited_or_cancelled_are_no_news(caplog: pytest.LogCaptureFixture) -> None:
    with VirtualEngine(cancels_its_task).run():
        assert warnings(caplog) == []


def test_a_replay_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with VirtualEngine(leaves_tasks).run() as engine:
        warnings(caplog)
        list(replay(new_execution(leaves_tasks, engine.payload), engine.history))
        assert warnings(caplog) == []
