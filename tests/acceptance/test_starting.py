"""Runs that an engine starts for its own worker: they are its own from the beginning, and none is stranded or takes another's turn."""

import asyncio
import threading
from dataclasses import replace

import apsw
import pytest

from perdure import Engine, step, workflow
from tests.acceptance.harness import CALM, Stage

NO_SWEEP = replace(CALM, sweep_seconds=1e6, lease_seconds=1e4, renew_seconds=1e3)  # a renewal is a write, after which it looks around


@workflow
async def flow() -> str:
    return "done"


async def calm_engine(stage: Stage) -> Engine:
    """One that has swept and claimed what there was when it began, and will not do so again by itself."""
    engine = await stage.engine(flow, settings=NO_SWEEP)
    await stage.until(lambda: engine._store.sweeps > 0)  # type: ignore[attr-defined]
    await engine.worker._committer.settle()
    assert engine.worker._committer.takes_more
    return engine


async def start_and_stop_waiting(stage: Stage, engine: Engine) -> None:
    """While it is written."""
    is_writing, may_write = threading.Event(), threading.Event()

    def hold() -> None:
        is_writing.set()
        assert may_write.wait(60)

    stage.commits.before = hold
    starting = asyncio.create_task(engine.start(flow, id="r"))
    await asyncio.to_thread(is_writing.wait)
    stage.commits.before = lambda: None
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    may_write.set()
    await stage.until(lambda: stage.sql("select 1 from runs"))


@pytest.mark.parametrize("waits_its_turn", [False, True], ids=["claimed as it is started", "claimed by its turn"])
async def test_a_run_whose_starter_stopped_waiting_while_it_was_written_goes_on_at_once(stage: Stage, waits_its_turn: bool) -> None:
    engine = await calm_engine(stage)
    engine.worker._committer._others_wait = waits_its_turn

    await start_and_stop_waiting(stage, engine)

    assert await (await stage.client()).run("r").result(30) == "done"


async def test_a_run_that_was_started_although_the_commit_failed_goes_on_at_once(stage: Stage) -> None:
    engine = await calm_engine(stage)

    def fail() -> None:
        stage.commits.after = lambda: None
        raise apsw.IOError("the reply is lost")

    stage.commits.after = fail
    run = await engine.start(flow, id="r")

    assert await run.result(30) == "done"
    assert [record.kind for record in await run.history()] == ["started", "completed"]


async def test_a_run_started_by_a_worker_that_was_declared_dead_is_pending_until_it_lives_again(stage: Stage) -> None:
    engine = await stage.engine(flow, settings=NO_SWEEP)
    first = engine.worker.incarnation
    stage.sql("update workers set state = 'dead'")

    run = await engine.start(flow, id="r")

    assert await run.result(30) == "done"
    assert engine.worker.incarnation != first


async def test_a_start_takes_neither_more_room_than_there_is_nor_the_turn_of_those_who_wait(stage: Stage) -> None:
    order: list[str] = []
    may_end = asyncio.Event()

    @step
    async def work(name: str) -> None:
        order.append(name)
        await may_end.wait()

    @workflow
    async def busy(name: str) -> None:
        await work(name)

    engine = await stage.engine(busy, settings=replace(CALM, runs_in_memory=2))
    runs = [await engine.start(busy, name) for name in "abcdef"]
    await stage.until(lambda: len(order) == 2)
    assert len(engine.worker.live) == 2
    assert [run.id for run in runs if (await run.status()).state == "pending"] == [run.id for run in runs[2:]]
    may_end.set()
    runs.append(await engine.start(busy, "g"))
    await asyncio.gather(*(run.result(30) for run in runs))

    assert order == list("abcdefg")
