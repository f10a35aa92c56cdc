"""What workflow code may not do, and what its log says: I/O, threads and blocking calls are refused with the line and the way out."""

import asyncio
import logging
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path

import pytest

from perdure import receive, step, workflow
from perdure.errors import NotAllowedInWorkflow, RunFailed
from tests.acceptance.harness import Stage, kinds

log = logging.getLogger("shop")


async def reads_a_file() -> None:
    Path(__file__).read_text()  # refused


async def sleeps_without_await() -> None:
    time.sleep(0.001)  # refused


async def connects() -> None:
    socket.create_connection(("127.0.0.1", 9))  # refused


async def opens_a_connection() -> None:
    await asyncio.open_connection("127.0.0.1", 9)  # refused


async def starts_a_thread() -> None:
    threading.Thread(target=print).start()  # refused


async def uses_the_executor() -> None:
    await asyncio.to_thread(print)  # refused


async def starts_a_process() -> None:
    subprocess.run(["true"], check=False)  # refused


async def starts_a_process_without_blocking() -> None:
    await asyncio.create_subprocess_exec("true")  # refused


REFUSED = [
    reads_a_file,
    sleeps_without_await,
    connects,
    opens_a_connection,
    starts_a_thread,
    uses_the_executor,
    starts_a_process,
    starts_a_process_without_blocking,
]


def line_of_refusal(function: Callable[..., object]) -> str:
    return f"test_workflow_code.py:{function.__code__.co_firstlineno + 1} in {function.__name__}"


@pytest.mark.parametrize("forbidden", REFUSED, ids=lambda function: function.__name__)
async def test_io_threads_and_blocking_calls_are_refused_with_the_line_and_the_way_out(
    stage: Stage, forbidden: Callable[..., object]
) -> None:
    @workflow
    async def flow() -> None:
        await forbidden()

    engine = await stage.engine(flow)
    with pytest.raises(RunFailed) as failed:
        await (await engine.start(flow)).result(30)

    cause = failed.value.__cause__
    assert isinstance(cause, NotAllowedInWorkflow)
    assert line_of_refusal(forbidden) in str(cause)
    assert "move this into a step" in str(cause)


@pytest.mark.parametrize("allowed", [reads_a_file, sleeps_without_await, starts_a_thread, uses_the_executor], ids=lambda one: one.__name__)
async def test_in_a_step_the_same_is_allowed(stage: Stage, allowed: Callable[..., object]) -> None:
    @step
    async def work() -> str:
        await allowed()
        return "done"

    @workflow
    async def flow() -> str:
        return await work()

    engine = await stage.engine(flow)
    assert await (await engine.start(flow)).result(30) == "done"


async def test_what_a_workflow_logs_is_logged_once_although_it_is_replayed(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    @workflow
    async def flow() -> None:
        for number in range(3):
            log.info("round %d", number)
            await receive("next")

    caplog.set_level(logging.INFO, logger="shop")
    engine = await stage.engine(flow)
    run = await engine.start(flow)
    for number in range(3):
        await stage.until_parked(engine, run)
        await stage.kill(engine)
        engine = await stage.engine(flow)
        run = engine.run(run.id)
        await run.signal("next", number)
    await run.result(30)

    assert [record.getMessage() for record in caplog.records if record.name == "shop" and record.levelno >= logging.INFO] == [
        "round 0",
        "round 1",
        "round 2",
    ]


async def test_a_workflow_called_inside_a_workflow_is_refused_until_children_exist(stage: Stage) -> None:
    @workflow
    async def child() -> None:
        return None

    @workflow
    async def flow() -> None:
        await child()

    engine = await stage.engine(flow, child)
    with pytest.raises(RunFailed, match="workflow 'child' was called inside a workflow; child workflows do not exist yet"):
        await (await engine.start(flow)).result(30)


async def test_context_variables_of_one_run_are_not_seen_by_another(stage: Stage) -> None:
    colour: ContextVar[str] = ContextVar("colour", default="none")

    @workflow
    async def flow(name: str) -> list[str]:
        before = colour.get()
        colour.set(name)
        await asyncio.sleep(0.01)
        return [before, colour.get()]

    engine = await stage.engine(flow)
    colour.set("of the caller")
    runs = [await engine.start(flow, name) for name in ("red", "blue")]
    assert [await run.result(30) for run in runs] == [["none", "red"], ["none", "blue"]]


async def test_a_run_whose_clean_up_fails_while_it_leaves_memory_is_not_harmed(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        try:
            return await receive("word", str)
        except GeneratorExit:
            raise RuntimeError("clean-up failed") from None

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    await run.signal("word", "hello")

    assert await run.result(30) == "hello"
    assert await kinds(run) == ["started", "signal", "completed"]
