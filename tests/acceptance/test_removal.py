"""G20: runs that have ended are deleted whole, by hand or when they are kept no longer; those that have not are left alone."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from perdure import Engine, receive, step, workflow
from perdure.errors import RunNotEnded, RunNotFound, StoreUnavailable
from perdure.store.protocol import UnknownOutcome
from tests.acceptance.harness import CALM, Stage

TABLES = ("runs", "history", "generations", "attempts", "inbox", "requests", "signal_keys", "suspects")


@step
async def work() -> str:
    return "done"


@workflow
async def quick() -> str:
    return await work()


@workflow
async def breaks() -> None:
    raise OSError("no")


@workflow
async def waits() -> Any:
    return await receive("word")


async def test_a_run_that_has_ended_is_deleted_with_everything_and_its_id_runs_afresh(stage: Stage) -> None:
    engine = await stage.engine(waits)
    run = await engine.start(waits, id="order-1")
    await run.signal("word", 1, key="k")
    assert await run.result(30) == 1

    await run.delete()

    for asked in (run.status, run.history, run.result, run.delete):
        with pytest.raises(RunNotFound):
            await asked()
    assert not any(stage.sql(f"select * from {table}") for table in TABLES)
    again = await engine.start(waits, id="order-1")
    await again.signal("word", 2, key="k")
    assert await again.result(30) == 2


async def test_a_run_that_has_not_ended_is_refused_and_says_to_cancel_it_first(stage: Stage) -> None:
    engine = await stage.engine(waits)
    run = await engine.start(waits)
    await stage.until_parked(engine, run)
    before = stage.content()

    with pytest.raises(RunNotEnded, match="cancel it first"):
        await run.delete()

    assert stage.content() == before


async def test_a_deletion_whose_commit_was_not_answered_is_not_reported_as_a_run_that_does_not_exist(stage: Stage) -> None:
    engine = await stage.engine(quick)
    run = await engine.start(quick)
    await run.result(30)
    real = engine._store.delete

    async def loses_the_answer(run_id: str) -> None:
        engine._store.delete = real  # type: ignore[method-assign]
        await real(run_id)
        raise UnknownOutcome("COMMIT failed")

    engine._store.delete = loses_the_answer  # type: ignore[method-assign]

    await run.delete()

    with pytest.raises(RunNotFound):
        await run.status()


async def test_whoever_waits_for_a_run_that_is_deleted_is_told(stage: Stage) -> None:
    engine = await stage.engine(waits)
    run = await engine.start(waits, id="order-1")
    client = await stage.client()
    await run.cancel()
    await stage.until_state(run, "cancelled")
    await run.delete()

    with pytest.raises(RunNotFound):
        await client.run("order-1").result(30)


# ── retention ────────────────────────────────────────────────────────────────────────────────────────────────────────

SOON = replace(CALM, purge_seconds=0.02, purge_pause_seconds=0.001)


async def test_by_default_everything_is_kept(stage: Stage) -> None:
    engine = await stage.engine(quick, settings=SOON)
    run = await engine.start(quick)
    await run.result(30)
    stage.skip(days=3650)

    await stage.until_sweep()

    assert await run.result(30) == "done"


async def test_runs_go_when_they_are_kept_no_longer_by_how_they_ended(stage: Stage) -> None:
    keep = {"completed": timedelta(days=30), "failed": timedelta(days=90)}
    engine = await stage.engine(quick, breaks, waits, settings=SOON, retention=keep)
    done, broken, waiting = await engine.start(quick), await engine.start(breaks), await engine.start(waits)
    cancelled = await engine.start(waits)
    await cancelled.cancel()
    for run, state in ((done, "completed"), (broken, "failed"), (cancelled, "cancelled")):
        await stage.until_state(run, state)

    stage.skip(days=31)
    await gone(stage, engine, {broken.id, waiting.id, cancelled.id})
    stage.skip(days=60)
    await gone(stage, engine, {waiting.id, cancelled.id})
    assert [(await run.status()).state for run in (waiting, cancelled)] == ["waiting", "cancelled"]


async def gone(stage: Stage, engine: Engine, left: set[str]) -> None:
    """Until no more runs are there than these."""

    async def ids() -> set[str]:
        return {one.id for one in (await engine.runs(limit=1000)).runs}

    async def are_few() -> bool:
        return len(await ids()) <= len(left)

    await stage.until(are_few)
    assert await ids() == left


async def test_many_old_runs_go_in_batches_and_a_death_between_leaves_each_whole_or_gone(stage: Stage) -> None:
    engine = await stage.engine(quick)
    await asyncio.gather(*[(await engine.start(quick)).result(30) for _ in range(250)])
    await stage.stop(engine)
    stage.skip(days=31)
    dying = await stage.engine(quick, settings=replace(SOON, purge_runs=10), retention={"completed": timedelta(days=30)})
    await stage.until(lambda: stage.sql("select count(*) from runs")[0][0] < 200)
    await stage.kill(dying)

    half = stage.sql("select (select count(*) from runs), (select count(distinct run_id) from history), (select count(*) from history)")
    assert half[0][0] == half[0][1]
    assert half[0][2] == 3 * half[0][0]

    last = await stage.engine(quick, settings=SOON, retention={"completed": timedelta(days=30)})
    await gone(stage, last, set())


async def test_a_store_that_does_not_answer_is_asked_again(stage: Stage) -> None:
    engine = await stage.engine(quick, settings=SOON, retention={"completed": 60})
    run = await engine.start(quick)
    await run.result(30)
    raised = stage.fail(engine, "purge", StoreUnavailable("busy"), times=3)
    await stage.until(lambda: len(raised) == 3)
    assert stage.sql("select id from runs") == [(run.id,)]
    stage.skip(61)

    await gone(stage, engine, set())


@pytest.mark.parametrize("wrong", [{"running": 60}, {"completed": -1}, {"done": 60}])
async def test_a_retention_that_makes_no_sense_is_refused_at_once(stage: Stage, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="retention"):
        await stage.engine(quick, retention=wrong)
