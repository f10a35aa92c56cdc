"""Code that holds the event loop is named with its line, in steps and in workflows; nothing fails for it."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from perdure import step, workflow
from tests.acceptance.harness import CALM, Stage

WATCHFUL = replace(CALM, watch_seconds=0.01, blocked_loop_seconds=0.2)
named = threading.Event()


class Ear(logging.Handler):
    """Says when the watchdog has spoken: what blocks in these tests blocks until then."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if "holds the event loop" in message and any(code in message for code in ("named.", "turns")):  # and no slow import
            self.heard.append(message)
            named.set()


@pytest.fixture
def ear() -> Iterator[Ear]:
    ear = Ear()
    named.clear()
    logging.getLogger("perdure.engine").addHandler(ear)
    yield ear
    logging.getLogger("perdure.engine").removeHandler(ear)


@step
async def blocks() -> str:
    return "done" if named.wait(30) else "nobody named it"  # this line


@workflow
async def with_a_blocking_step() -> str:
    return await blocks()


@workflow
async def blocking_itself() -> str:
    turns = 0
    while not named.is_set() and turns < 1e9:
        turns += 1  # one of these
    return "done"


@step
def takes_its_time() -> str:
    return "done" if not named.wait(0.8) else "it was named"


@workflow
async def with_a_step_in_a_thread() -> str:
    return await takes_its_time()


async def test_f13_the_line_of_an_async_step_that_blocks_is_named_with_its_run_and_the_step_completes(stage: Stage, ear: Ear) -> None:
    engine = await stage.engine(with_a_blocking_step, settings=WATCHFUL)
    run = await engine.start(with_a_blocking_step, id="order-7")

    assert await run.result(30) == "done"
    (message,) = ear.heard
    line = blocks.function.__code__.co_firstlineno + 2
    assert message.startswith(f"{__file__}:{line} holds the event loop")
    assert "named.wait(30)" in message
    assert "a step of run order-7" in message
    assert "plain `def`" in message


async def test_workflow_code_that_computes_too_long_is_named_and_told_to_use_a_step(stage: Stage, ear: Ear) -> None:
    engine = await stage.engine(blocking_itself, settings=WATCHFUL)
    run = await engine.start(blocking_itself, id="order-8")

    assert await run.result(30) == "done"
    assert "in blocking_itself, the workflow of run order-8" in ear.heard[0]
    assert "move it into a step" in ear.heard[0]


async def test_code_of_the_same_loop_outside_any_run_is_named_too(stage: Stage, ear: Ear) -> None:
    await stage.engine(blocking_itself, settings=WATCHFUL)
    asyncio.get_running_loop().call_soon(lambda: named.wait(30))
    await stage.until(lambda: ear.heard)

    assert "of run" not in ear.heard[0]


async def test_a_step_in_a_thread_and_a_loop_that_waits_are_not_named(stage: Stage, ear: Ear) -> None:
    engine = await stage.engine(with_a_step_in_a_thread, settings=WATCHFUL)

    assert await (await engine.start(with_a_step_in_a_thread)).result(30) == "done"
    assert not ear.heard


async def test_one_line_is_named_once_and_again_only_after_a_growing_pause(stage: Stage, ear: Ear) -> None:
    engine = await stage.engine(with_a_blocking_step, settings=WATCHFUL)
    await (await engine.start(with_a_blocking_step)).result(30)
    named.clear()
    threading.Timer(0.8, named.set).start()
    await (await engine.start(with_a_blocking_step)).result(30)
    assert len(ear.heard) == 1

    stage.skip(WATCHFUL.blocked_again_seconds)
    named.clear()
    await (await engine.start(with_a_blocking_step)).result(30)
    assert len(ear.heard) == 2


async def test_the_watchdog_ends_with_its_engine(stage: Stage, ear: Ear) -> None:
    engine = await stage.engine(blocking_itself, settings=WATCHFUL)
    watching = [thread for thread in threading.enumerate() if thread.name == "perdure-watchdog"]
    await stage.stop(engine)
    for thread in watching:
        thread.join(30)

    assert watching
    assert not any(thread.is_alive() for thread in watching)
