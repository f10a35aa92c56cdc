"""G10: one incarnation at a time can commit for a run; one that was declared dead commits nothing and begins a new life."""

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest

from perdure import receive, step, workflow
from perdure.store.protocol import Checkpoint, Committed, UnknownOutcome
from tests.acceptance.harness import CALM, Stage, kinds, names


def declare_dead(stage: Stage, engine) -> None:
    """As the sweep of another worker does it, with one row."""
    stage.sql("update workers set state = 'dead' where incarnation = ?", engine.worker.incarnation)


async def test_a_worker_that_was_declared_dead_records_nothing_of_what_it_had_under_way(stage: Stage) -> None:
    bodies: list[str] = []
    may_end: dict[str, asyncio.Event] = {"first": asyncio.Event(), "second": asyncio.Event()}

    @step
    async def place() -> str:
        name = "first" if not bodies else "second"
        bodies.append(name)
        try:
            await may_end[name].wait()
        except asyncio.CancelledError:
            await may_end[name].wait()  # a body that does not let itself be stopped
        return name

    @workflow
    async def flow() -> str:
        return await place()

    first = await stage.engine(flow)
    run = await first.start(flow)
    await stage.until(lambda: bodies == ["first"])
    second = await stage.engine(flow)
    declare_dead(stage, first)
    await stage.until_sweep()
    await stage.until(lambda: bodies == ["first", "second"])
    may_end["first"].set()
    await stage.until_sweep()
    assert await kinds(run) == ["started"]

    may_end["second"].set()
    assert await second.run(run.id).result(30) == "second"
    assert await names(run) == ["place"]


async def test_the_commit_of_a_dead_incarnation_changes_nothing(stage: Stage) -> None:
    go = asyncio.Event()

    @step
    async def place() -> str:
        await go.wait()
        return "placed"

    @workflow
    async def flow() -> str:
        return await place()

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: engine.worker.live and engine.worker.live[run.id].attempts)
    first, real, seen = engine.worker.incarnation, engine._store.checkpoint, []

    async def declared_dead_at_the_last_moment(batch: Any) -> Any:
        if batch.incarnation != first or not any(change.records for change in batch.changes):
            return await real(batch)
        declare_dead(stage, engine)
        before = stage.content()
        try:
            return await real(batch)
        finally:
            seen.append(stage.content() == before)

    engine._store.checkpoint = declared_dead_at_the_last_moment
    go.set()

    assert await run.result(30) == "placed"
    assert seen == [True]
    assert engine.worker.incarnation != first
    assert await names(run) == ["place"]


async def test_a_worker_that_was_declared_dead_begins_a_new_life_and_goes_on(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        return await receive("word", str)

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    before = engine.worker.incarnation
    declare_dead(stage, engine)
    await run.signal("word", "hello")
    await stage.until_sweep()

    assert await run.result(30) == "hello"
    assert engine.worker.incarnation != before


async def test_the_late_result_of_a_thread_whose_run_was_given_to_another_life_is_discarded(stage: Stage) -> None:
    bodies: list[threading.Event] = []

    @step
    def place() -> int:
        mine, number = threading.Event(), len(bodies)
        bodies.append(mine)
        assert mine.wait(20)
        return number

    @workflow
    async def flow() -> int:
        return await place()

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: len(bodies) == 1)
    declare_dead(stage, engine)
    await stage.until_sweep()
    await stage.until(lambda: len(bodies) == 2)
    bodies[0].set()
    await stage.until(lambda: len(engine.worker._attempts.under_way) == 1)
    bodies[1].set()

    assert await run.result(30) == 1
    assert await names(run) == ["place"]


async def test_a_worker_that_is_paused_beyond_its_lease_loses_its_runs_and_commits_nothing_when_it_comes_back(stage: Stage) -> None:
    bodies: list[str] = []
    may_end = {"first": asyncio.Event(), "second": asyncio.Event()}

    @step
    async def place() -> str:
        name = "first" if not bodies else "second"
        bodies.append(name)
        await may_end[name].wait()
        return name

    @workflow
    async def flow() -> str:
        return await place()

    paused = await stage.engine(flow, settings=replace(CALM, renew_seconds=1e6, sweep_seconds=1e6))
    run = await paused.start(flow)
    await stage.until(lambda: bodies)
    before, comes_back = paused.worker.incarnation, asyncio.Event()
    real = paused._store.checkpoint

    async def not_before_it_comes_back(batch: Any) -> Any:
        await comes_back.wait()
        return await real(batch)

    paused._store.checkpoint = not_before_it_comes_back
    may_end["first"].set()
    living = await stage.engine(flow)
    stage.clock.boot_moved += CALM.lease_seconds + 1
    await stage.until(lambda: bodies == ["first", "second"], skipping=CALM.sweep_seconds)
    comes_back.set()
    await stage.until(lambda: paused.worker.incarnation not in ("", before))
    assert await kinds(run) == ["started"]

    may_end["second"].set()
    assert await living.run(run.id).result(30) == "second"
    assert await names(run) == ["place"]


async def test_a_worker_whose_lease_ran_out_but_that_nobody_declared_dead_goes_on(stage: Stage) -> None:
    bodies: list[str] = []
    may_end = asyncio.Event()

    @step
    async def place() -> str:
        bodies.append("place")
        await may_end.wait()
        return "placed"

    @workflow
    async def flow() -> str:
        return await place()

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: bodies)
    before = engine.worker.incarnation
    stage.clock.boot_moved += 8 * 3600  # a laptop that slept
    await stage.until_sweep()
    may_end.set()

    assert await run.result(30) == "placed"
    assert bodies == ["place"]
    assert engine.worker.incarnation == before


async def test_the_lease_of_a_worker_without_work_is_renewed(stage: Stage) -> None:
    renews_only = replace(CALM, lease_seconds=60.0, renew_seconds=0.02, sweep_seconds=1000.0)
    engine = await stage.engine(settings=renews_only)

    def lease() -> tuple[int, int]:
        return stage.sql("select checkpoint, expires_at from workers where incarnation = ?", engine.worker.incarnation)[0]

    seen = [lease()]

    def is_renewed_without_a_checkpoint() -> bool:
        seen.append(lease())
        return seen[-1][0] == seen[-2][0] and seen[-1][1] > seen[-2][1]

    await stage.until(is_renewed_without_a_checkpoint)
    assert seen[-1][1] > seen[0][1]


async def test_living_workers_leave_each_other_alone_however_often_they_sweep(stage: Stage) -> None:
    engines = [await stage.engine() for _ in range(3)]
    before = [engine.worker.incarnation for engine in engines]
    for _ in range(3):
        await stage.until_sweep()

    assert [engine.worker.incarnation for engine in engines] == before
    assert stage.sql("select count(*) from workers where state = 'live'") == [(3,)]


async def test_a_run_is_claimed_by_one_of_many_workers(stage: Stage) -> None:
    @workflow
    async def flow() -> None:
        await receive("go")

    client_engine = await stage.engine()
    runs = [await client_engine.start("flow") for _ in range(20)]
    engines = [await stage.engine(flow, settings=replace(CALM, linger_seconds=60.0)) for _ in range(3)]
    await stage.until(lambda: sum(len(engine.worker.live) for engine in engines) == 20)

    owners = dict(stage.sql("select id, owner from runs"))
    for engine in engines:
        assert {run_id for run_id, owner in owners.items() if owner == engine.worker.incarnation} == set(engine.worker.live)
    assert await kinds(runs[0]) == ["started"]


async def test_a_try_that_was_given_up_and_is_committed_after_all_is_taken_for_committed(stage: Stage) -> None:
    bodies: list[str] = []
    late: list[Checkpoint] = []

    @step
    async def place() -> str:
        bodies.append("place")
        return "placed"

    @workflow
    async def flow() -> str:
        await place()
        return await receive("word", str)

    engine = await stage.engine(flow)
    real = engine._store.checkpoint

    async def checkpoint(batch: Checkpoint) -> Committed:
        if not late and any(change.records for change in batch.changes):
            late.append(batch)
            raise UnknownOutcome("no answer in time")
        if len(late) == 1:
            late.append(batch)
            await real(late[0])  # now it is there, after the store was asked and had not seen it
        return await real(batch)

    engine._store.checkpoint = checkpoint  # type: ignore[method-assign]
    run = await engine.start(flow)
    await run.signal("word", "hello")

    assert await run.result(30) == "hello"
    assert [batch.number for batch in late] == [late[0].number] * 2
    assert await kinds(run) == ["started", "step", "signal", "completed"]
    assert bodies == ["place"]


@pytest.mark.parametrize(
    ("by", "said"), [(-1, "the store has lost acknowledged checkpoints"), (2, "somebody else writes in its name")], ids=["behind", "ahead"]
)
async def test_a_worker_whose_store_is_elsewhere_than_it_was_told_says_so_and_begins_anew(
    stage: Stage, by: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    @workflow
    async def flow() -> str:
        return await receive("word", str)

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    before = engine.worker.incarnation
    stage.sql(f"update workers set checkpoint = checkpoint + {by} where state = 'live'")
    await run.signal("word", "hello")

    await stage.until(lambda: engine.worker.incarnation not in ("", before))
    assert await run.result(30) == "hello"
    assert [record.levelname for record in caplog.records if said in record.getMessage()] == ["CRITICAL"]
