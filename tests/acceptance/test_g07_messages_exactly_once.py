"""G7: a signal with a key is stored once and received by at most one `receive`; one that came before the wait is kept."""

import asyncio

import apsw
import pytest

from perdure import receive, step, workflow
from perdure.errors import RunEnded, RunNotFound
from tests.acceptance.harness import Stage, kinds


@workflow
async def collect(count: int) -> list[int]:
    return [await receive("number", int) for _ in range(count)]


async def test_a_signal_with_a_key_is_stored_once_and_the_first_payload_wins(stage: Stage) -> None:
    engine = await stage.engine(collect)
    run = await engine.start(collect, 2)

    await run.signal("number", 1, key="a")
    await run.signal("number", 99, key="a")
    await run.signal("number", 2, key="b")

    assert await run.result(30) == [1, 2]


async def test_a_key_is_remembered_after_its_signal_was_received(stage: Stage) -> None:
    engine = await stage.engine(collect)
    run = await engine.start(collect, 2)
    await run.signal("number", 1, key="a")
    await stage.until(lambda: stage.sql("select 1 from history where kind = 'signal'"))

    await run.signal("number", 99, key="a")
    await run.signal("number", 2, key="b")

    assert await run.result(30) == [1, 2]
    assert await kinds(run) == ["started", "signal", "signal", "completed"]


async def test_signals_without_a_key_are_each_their_own(stage: Stage) -> None:
    engine = await stage.engine(collect)
    run = await engine.start(collect, 3)

    for _ in range(3):
        await run.signal("number", 7)

    assert await run.result(30) == [7, 7, 7]


async def test_a_signal_that_came_before_the_wait_is_kept(stage: Stage) -> None:
    may_end = asyncio.Event()

    @step
    async def prepare() -> None:
        await may_end.wait()

    @workflow
    async def flow() -> int:
        await prepare()
        return await receive("number", int)

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await run.signal("number", 5)
    await stage.until(lambda: stage.sql("select 1 from history where kind = 'signal'"))
    may_end.set()

    assert await run.result(30) == 5


async def test_a_signal_that_came_before_the_first_worker_is_kept(stage: Stage) -> None:
    await stage.stop(await stage.engine())
    client = await stage.client()
    run = await client.start(collect, 1)
    await run.signal("number", 5)

    await stage.engine(collect)

    assert await run.result(30) == [5]


async def test_after_the_end_a_known_key_succeeds_and_a_new_one_is_refused(stage: Stage) -> None:
    engine = await stage.engine(collect)
    run = await engine.start(collect, 1, id="order-1")
    await run.signal("number", 1, key="a")
    await run.result(30)
    before = stage.content()

    await run.signal("number", 2, key="a")
    with pytest.raises(RunEnded, match="run order-1 has ended"):
        await run.signal("number", 2, key="b")

    assert stage.content() == before


async def test_a_signal_to_a_run_that_does_not_exist_is_refused(stage: Stage) -> None:
    engine = await stage.engine(collect)

    with pytest.raises(RunNotFound, match="no run 'nobody'"):
        await engine.run("nobody").signal("number", 1)

    assert stage.sql("select * from inbox") == []


async def test_a_signal_is_received_once_although_the_worker_dies_after_it_entered_the_history(stage: Stage) -> None:
    engine = await stage.engine(collect)
    run = await engine.start(collect, 2)
    await run.signal("number", 1, key="a")
    await stage.until(lambda: stage.sql("select 1 from history where kind = 'signal'"))
    await stage.kill(engine)

    again = await stage.engine(collect)
    await again.run(run.id).signal("number", 1, key="a")
    await again.run(run.id).signal("number", 2, key="b")

    assert await again.run(run.id).result(30) == [1, 2]


async def test_two_receivers_get_one_signal_each(stage: Stage) -> None:
    @workflow
    async def flow() -> list[int]:
        return sorted(await asyncio.gather(receive("number", int), receive("number", int)))

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await run.signal("number", 1)
    await run.signal("number", 2)

    assert await run.result(30) == [1, 2]


async def test_a_signal_that_meets_a_receive_that_is_being_cancelled_goes_to_the_next_one(stage: Stage) -> None:
    @workflow
    async def flow() -> tuple[bool, int]:
        waiting = asyncio.create_task(receive("number", int))
        await receive("cancel")
        waiting.cancel()
        await asyncio.wait([waiting])
        return waiting.cancelled(), await receive("number", int)

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await run.signal("cancel")
    await run.signal("number", 5)

    assert await run.result(30) == (True, 5)


async def test_a_send_whose_commit_was_not_answered_is_stored_once(stage: Stage) -> None:
    engine = await stage.engine(collect)
    run = await engine.start(collect, 2)

    def lose_the_answer() -> None:
        if stage.sql("select 1 from signal_keys"):
            stage.commits.after = lambda: None
            raise apsw.IOError("the answer is lost")

    stage.commits.after = lose_the_answer
    await run.signal("number", 1)
    await run.signal("number", 2)

    assert await run.result(30) == [1, 2]


async def test_a_signal_of_one_run_is_not_received_by_another(stage: Stage) -> None:
    engine = await stage.engine(collect)
    first, second = await engine.start(collect, 1), await engine.start(collect, 1)
    await first.signal("number", 1, key="a")
    await second.signal("number", 2, key="a")

    assert (await first.result(30), await second.result(30)) == ([1], [2])
