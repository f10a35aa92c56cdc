"""Group commit: what gathers while one transaction is under way shares the next, within bounds, and one bad item hurts no other."""

import asyncio
import threading
from dataclasses import replace
from typing import Any

from perdure import receive, step, workflow
from perdure.store.endings import Finish
from perdure.store.protocol import BadItem, Checkpoint, Committed
from tests.acceptance.harness import CALM, Stage, kinds


@step
async def make(size: int) -> str:
    return "x" * size


@workflow
async def one_step(size: int) -> int:
    return len(await make(size))


@workflow
async def many_steps(count: int, size: int) -> int:
    return sum(len(one) for one in await asyncio.gather(*(make(size) for _ in range(count))))


def watched(stage: Stage) -> list[Checkpoint]:
    """Every checkpoint that is handed to a store from now on."""
    seen: list[Checkpoint] = []
    stage.on_checkpoint = seen.append
    return seen


def records_in(batch: Checkpoint) -> int:
    return sum(len(change.records) for change in batch.changes)


async def test_results_that_come_while_a_commit_is_under_way_share_the_next_one(stage: Stage) -> None:
    go, reached, released = asyncio.Event(), threading.Event(), threading.Event()

    @step
    async def wait() -> None:
        await go.wait()

    @workflow
    async def flow() -> None:
        await wait()

    engine = await stage.engine(flow, one_step)
    runs = [await engine.start(flow) for _ in range(50)]
    await stage.until(lambda: len(engine.worker._attempts.under_way) == 50 and engine.worker._committer._task is None)

    def hold() -> None:
        reached.set()
        released.wait(20)

    stage.commits.before = hold
    blocking = asyncio.create_task(engine.start(one_step, 1))
    await stage.until(reached.is_set)
    seen = watched(stage)
    go.set()
    for _ in range(20):
        await asyncio.sleep(0)
    stage.commits.before = lambda: None
    released.set()
    for run in [*runs, await blocking]:
        await run.result(30)

    assert max(len(batch.changes) for batch in seen) >= 50
    assert len(seen) < 15


async def test_a_checkpoint_holds_no_more_records_than_allowed(stage: Stage) -> None:
    seen = watched(stage)
    engine = await stage.engine(many_steps, settings=replace(CALM, batch_rows=7))

    assert await (await engine.start(many_steps, 50, 1)).result(30) == 50
    assert max(records_in(batch) for batch in seen) <= 7


async def test_a_checkpoint_of_many_bytes_leaves_further_runs_to_the_next_one(stage: Stage) -> None:
    seen = watched(stage)
    engine = await stage.engine(one_step, settings=replace(CALM, batch_bytes=1000))
    runs = await asyncio.gather(*(engine.start(one_step, 600) for _ in range(20)))

    assert [await run.result(30) for run in runs] == [600] * 20
    assert max(records_in(batch) for batch in seen) <= 2


async def test_a_checkpoint_of_many_bytes_of_results_leaves_further_runs_to_the_next_one(stage: Stage) -> None:
    @workflow
    async def returns(size: int) -> str:
        await receive("go")
        return "x" * size

    engine = await stage.engine(returns, settings=replace(CALM, batch_bytes=1000, linger_seconds=600.0))
    runs = [await engine.start(returns, 600, id=f"order-{number}") for number in range(6)]
    live = engine.worker.live
    await stage.until(lambda: len(live) == 6 and not any(run.is_busy for run in live.values()))
    seen = watched(stage)
    stage.sql(
        "insert into inbox (namespace, run_id, number, arrived_at, id, topic, payload) "
        "select namespace, id, 1, 1, 's1', 'go', x'31' from runs"
    )

    assert [len(await run.result(30)) for run in runs] == [600] * 6
    assert max(sum(isinstance(change.ending, Finish) for change in batch.changes) for batch in seen) <= 2


async def test_a_change_that_the_store_refuses_quarantines_its_run_and_commits_the_others(stage: Stage) -> None:
    engine = await stage.engine(one_step)
    real = engine._store.checkpoint

    async def refuse_one(batch: Checkpoint) -> Any:
        if any(change.run_id == "bad" and change.records for change in batch.changes):
            raise BadItem("bad", "cannot be written")
        return await real(batch)

    engine._store.checkpoint = refuse_one
    bad = await engine.start(one_step, 5, id="bad")
    others = [await engine.start(one_step, 5) for _ in range(10)]

    assert [await run.result(30) for run in others] == [5] * 10
    status = await stage.until_state(bad, "quarantined")
    assert "the store refuses what it has to record" in status.error["message"]
    assert await kinds(bad) == ["started"]


async def test_an_idle_worker_commits_nothing_between_two_sweeps(stage: Stage) -> None:
    engine = await stage.engine(one_step, settings=replace(CALM, sweep_seconds=1e6))
    await (await engine.start(one_step, 5)).result(30)
    await engine.worker._committer.settle()
    before = engine.worker.checkpoints
    await (await stage.client()).runs()
    for _ in range(100):
        await asyncio.sleep(0)

    assert engine.worker.checkpoints == before


async def test_a_start_and_its_claim_share_one_transaction(stage: Stage) -> None:
    engine = await stage.engine(one_step, settings=replace(CALM, sweep_seconds=1e6))
    await stage.until(lambda: engine._store.sweeps)
    await engine.worker._committer.settle()
    commits: list[str] = []
    stage.commits.after = lambda: commits.append(str(stage.sql("select state from runs")))
    run = await engine.start(one_step, 5)

    assert commits == ["[('running',)]"]
    stage.commits.after = lambda: None
    assert await run.result(30) == 5


async def test_what_a_life_has_committed_is_not_reported_to_the_next_one(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        return str(await receive("go"))

    engine = await stage.engine(flow, settings=replace(CALM, linger_seconds=60.0))
    before = engine.worker.incarnation

    def end_this_life(done: Committed) -> None:
        """The lease turns out to be lost after the store's answer and before the worker has looked at it."""
        if done.claimed:
            stage.on_answer = lambda done: None
            asyncio.get_running_loop().call_soon(engine.worker._fenced, before)

    stage.on_answer = end_this_life
    run = await (await stage.client()).start(flow)
    await stage.until(lambda: engine.worker.incarnation not in ("", before))

    assert run.id not in engine.worker.live
    await run.signal("go", "once")
    assert await run.result(30) == "once"
    assert await kinds(run) == ["started", "signal", "completed"]
