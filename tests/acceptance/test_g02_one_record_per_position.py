"""G2: at most one result per step ever exists, and once it is recorded the body is never started again."""

import apsw
import pytest

from perdure import receive, step, workflow
from tests.acceptance.harness import Stage, kinds


async def test_a_recorded_step_is_never_started_again_however_often_its_worker_dies(stage: Stage) -> None:
    effects: list[int] = []

    @step
    async def place(number: int) -> int:
        effects.append(number)
        return number

    @workflow
    async def flow() -> list[int]:
        placed = []
        for number in range(5):
            placed.append(await place(number))
            await receive("next")
        return placed

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    for number in range(5):
        await stage.until(lambda number=number: stage.sql("select count(*) from history where kind = 'step'") == [(number + 1,)])
        await stage.kill(engine)
        engine = await stage.engine(flow)
        await engine.run(run.id).signal("next")

    assert await engine.run(run.id).result(30) == [0, 1, 2, 3, 4]
    assert effects == [0, 1, 2, 3, 4]


async def test_a_restart_changes_nothing_that_was_recorded_before(stage: Stage) -> None:
    @step
    async def count(number: int) -> int:
        return number

    @workflow
    async def flow() -> int:
        total = 0
        for _ in range(3):
            total += await count(await receive("next", int))
        return total

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await run.signal("next", 1)
    await stage.until(lambda: stage.sql("select 1 from history where kind = 'step'"))
    before = stage.sql("select * from history order by position")
    await stage.kill(engine)

    again = await stage.engine(flow)
    await again.run(run.id).signal("next", 2)
    await again.run(run.id).signal("next", 3)
    assert await again.run(run.id).result(30) == 6

    assert stage.sql("select * from history order by position")[: len(before)] == before


async def test_positions_have_no_gaps_and_are_in_the_order_of_time(stage: Stage) -> None:
    @step
    async def one() -> int:
        return 1

    @workflow
    async def flow() -> int:
        return sum([await one() for _ in range(10)])

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await run.result(30)

    history = await run.history()
    assert [record.position for record in history] == list(range(1, 13))
    assert [record.at for record in history] == sorted(record.at for record in history)
    assert await kinds(run) == ["started", *["step"] * 10, "completed"]


async def test_the_store_refuses_a_second_record_for_a_position(stage: Stage) -> None:
    @workflow
    async def flow() -> None:
        return None

    engine = await stage.engine(flow)
    await (await engine.start(flow)).result(30)

    with pytest.raises(apsw.ConstraintError):
        stage.sql("insert into history select * from history where position = 1")


async def test_two_workers_on_one_store_run_each_step_of_each_run_once(stage: Stage) -> None:
    effects: list[str] = []

    @step
    async def place(run: int, number: int) -> None:
        effects.append(f"{run}/{number}")

    @workflow
    async def flow(run: int) -> int:
        for number in range(5):
            await place(run, number)
        return run

    engines = [await stage.engine(flow), await stage.engine(flow)]
    client = await stage.client()
    runs = [await client.start("flow", number) for number in range(30)]

    assert [await run.result(30) for run in runs] == list(range(30))
    assert sorted(effects) == sorted(f"{run}/{number}" for run in range(30) for number in range(5))
    assert all(engine.worker.checkpoints for engine in engines)
