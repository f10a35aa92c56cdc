"""G1: whatever was acknowledged survives the death of every process."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from perdure import receive, step, workflow
from tests.acceptance.harness import Stage, names


@step
async def double(number: int) -> int:
    return 2 * number


@workflow
async def three_steps(number: int) -> int:
    for _ in range(3):
        number = await double(number)
    return number


@contextmanager
def held_commit(stage: Stage, of: str) -> Iterator[threading.Event]:
    """The COMMIT of what this query finds waits until the block ends; the event says that it has come so far."""
    reached, released = threading.Event(), threading.Event()

    def wait() -> None:
        if stage.commits.would_find(of):
            reached.set()
            released.wait(20)

    stage.commits.before = wait
    try:
        yield reached
    finally:
        stage.commits.before = lambda: None
        released.set()


async def some_turns() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_start_that_was_acknowledged_survives_the_death_of_the_process(stage: Stage) -> None:
    engine = await stage.engine(three_steps)
    run = await engine.start(three_steps, 1, id="order-1")

    await stage.kill(engine)

    again = await stage.engine(three_steps)
    assert await again.run(run.id).result(30) == 8


async def test_a_step_result_that_later_code_has_seen_is_on_disk(stage: Stage) -> None:
    on_disk: list[list[str]] = []

    @step
    async def look_at_the_file() -> None:
        on_disk.append([name for (name,) in stage.sql("select name from history where kind = 'step' order by position")])

    @workflow
    async def flow() -> None:
        await double(1)
        await look_at_the_file()
        await double(2)
        await look_at_the_file()

    engine = await stage.engine(flow)
    await (await engine.start(flow)).result(30)

    assert on_disk == [["double"], ["double", "look_at_the_file", "double"]]


async def test_a_signal_that_was_accepted_survives_although_nobody_has_read_it(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        return await receive("word", str)

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await run.signal("word", "hello")
    await stage.kill(engine)

    again = await stage.engine(flow)
    assert await again.run(run.id).result(30) == "hello"


async def test_a_start_is_not_acknowledged_before_its_commit(stage: Stage) -> None:
    engine = await stage.engine(three_steps)

    with held_commit(stage, "select 1 from runs") as reached:
        starting = asyncio.create_task(engine.start(three_steps, 1, id="order-1"))
        await stage.until(reached.is_set)
        await some_turns()
        assert not starting.done()

    assert (await starting).id == "order-1"


async def test_code_does_not_go_on_before_the_commit_that_holds_the_result(stage: Stage) -> None:
    passed: list[int] = []
    go = asyncio.Event()

    @step
    async def wait_for_the_test(number: int) -> int:
        await go.wait()
        return number

    @workflow
    async def flow() -> None:
        passed.append(await wait_for_the_test(1))

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: engine.worker.live and not engine.worker.live[run.id].is_in_flight)
    with held_commit(stage, "select 1 from history where kind = 'step'") as reached:
        go.set()
        await stage.until(reached.is_set)
        await some_turns()
        assert passed == []

    await run.result(30)
    assert passed == [1]


async def test_a_result_that_was_handed_out_is_the_same_after_the_death_of_the_process(stage: Stage) -> None:
    engine = await stage.engine(three_steps)
    run = await engine.start(three_steps, 5)
    result = await run.result(30)
    await stage.kill(engine)

    client = await stage.client()
    assert await client.run(run.id).result(30) == result == 40
    assert await names(client.run(run.id)) == ["double"] * 3
