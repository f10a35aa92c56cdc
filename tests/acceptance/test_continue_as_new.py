"""`continue_as_new`: a run that goes on for years stays small, and is the same run to everybody outside."""

import asyncio
from dataclasses import replace
from typing import Any

import apsw
import pytest

from perdure import continue_as_new, info, patched, receive, set_status, step, uuid4, workflow
from perdure.errors import RunCancelled, RunFailed
from perdure.settings import Limits
from tests.acceptance.harness import CALM, Stage, kinds

keys: list[str | None] = []
drawn: list[str] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    keys.clear()
    drawn.clear()


@step
async def bill(month: int) -> int:
    keys.append(info().idempotency_key)
    return month


@workflow
async def subscription(months: int, done: int = 0) -> str:
    await bill(done)
    drawn.append(str(uuid4()))
    if done + 1 < months:
        await continue_as_new(months, done + 1)
    return f"{done + 1} months"


def generations(stage: Stage) -> list[int]:
    return [number for (number,) in stage.sql("select distinct generation from history order by 1")]


async def test_the_result_is_waited_for_through_all_generations_and_each_has_keys_and_draws_of_its_own(stage: Stage) -> None:
    engine = await stage.engine(subscription)
    run = await engine.start(subscription, 4, id="years")

    assert await run.result(30) == "4 months"
    assert keys == [f"default/years/{number}/0" for number in range(4)]
    assert len(set(drawn)) == 4
    assert stage.sql("select generation, state from runs") == [(3, "completed")]


async def test_the_same_start_is_still_the_same_run(stage: Stage) -> None:
    engine = await stage.engine(subscription)
    await (await engine.start(subscription, 2, id="years")).result(30)

    assert await (await engine.start(subscription, 2, id="years")).result(30) == "2 months"
    assert len(keys) == 2


async def test_the_history_of_the_generation_before_is_kept_and_older_ones_are_forgotten(stage: Stage) -> None:
    engine = await stage.engine(subscription, settings=replace(CALM, outdated_page=2))
    run = await engine.start(subscription, 6)
    await run.result(30)
    assert [record.kind for record in await run.history()] == [
        *("started", "step", "continued"),
        *("started", "step", "completed"),
    ]

    await stage.until_sweep()
    await stage.until_sweep()

    assert generations(stage) == [4, 5]
    assert stage.sql("select generation from generations order by 1") == [(4,), (5,)]
    assert stage.sql("select * from outdated") == []
    assert [(record.generation, record.position) for record in await run.history()] == [(4, 1), (4, 2), (4, 3), (5, 1), (5, 2), (5, 3)]


async def test_signals_that_nobody_received_wait_for_the_next_generation_in_order(stage: Stage) -> None:
    @workflow
    async def one_at_a_time(handled: list[Any]) -> list[Any]:
        handled.append(await receive("work"))
        if len(handled) < 5:
            await continue_as_new(handled)
        return handled

    engine = await stage.engine(one_at_a_time)
    run = await engine.start(one_at_a_time, [])
    await stage.until_parked(engine, run)
    await stage.stop(engine)
    client = await stage.client()
    for number in range(5):
        await client.run(run.id).signal("work", number, key=f"work-{number}")
    engine = await stage.engine(one_at_a_time)

    assert await engine.run(run.id).result(30) == [0, 1, 2, 3, 4]
    await client.run(run.id).signal("work", 99, key="work-0")


async def test_a_cancel_that_came_after_the_signal_that_ends_a_generation_is_told_to_the_next(stage: Stage) -> None:
    """Both are read in one checkpoint; the old code is gone when the cancel is applied."""
    told: list[int] = []

    @workflow
    async def tells(number: int) -> None:
        try:
            await receive("work")
        except asyncio.CancelledError:
            told.append(number)
            raise
        await continue_as_new(number + 1)

    engine = await stage.engine(tells)
    run = await engine.start(tells, 0)
    await stage.until_parked(engine, run)
    await stage.stop(engine)
    client = await stage.client()
    await client.run(run.id).signal("work")
    await client.run(run.id).cancel()
    engine = await stage.engine(tells)

    with pytest.raises(RunCancelled):
        await engine.run(run.id).result(30)
    assert told == [1]
    assert await kinds(engine.run(run.id)) == ["started", "signal", "cancel", "continued", "started", "cancel", "cancelled"]


@pytest.mark.parametrize("killed_at", range(1, 9))
async def test_a_death_anywhere_leaves_the_old_generation_or_the_new_one_and_loses_no_signal(stage: Stage, killed_at: int) -> None:
    @workflow
    async def in_turn(handled: list[int]) -> list[int]:
        handled = [*handled, await bill(await receive("work", int))]
        if len(handled) < 3:
            await continue_as_new(handled)
        return handled

    engine = await stage.engine(in_turn)
    run = await engine.start(in_turn, [])
    for number in range(3):
        await run.signal("work", number)
    commits = [0]

    def gone() -> None:
        raise apsw.IOError("disk I/O error")  # nothing more is committed

    def dies() -> None:
        commits[0] += 1
        if commits[0] == killed_at:
            stage.commits.before = gone
            gone()

    stage.commits.after = dies
    try:
        await run.result(0.3)
    except TimeoutError:
        pass
    await stage.kill(engine)
    stage.commits.before = stage.commits.after = lambda: None
    whole = {number: rows for number, rows in by_generation(stage).items() if rows[0] == "started"}
    assert whole == by_generation(stage), "no generation without its beginning"

    engine = await stage.engine(in_turn)
    assert await engine.run(run.id).result(30) == [0, 1, 2]


def by_generation(stage: Stage) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for number, kind in stage.sql("select generation, kind from history order by generation, position"):
        found.setdefault(number, []).append(kind)
    return found


async def test_the_end_and_the_beginning_are_one_commit(stage: Stage) -> None:
    engine = await stage.engine(subscription)
    torn: list[Any] = []

    def look() -> None:
        ended = stage.commits.would_find("select 1 from history where kind = 'continued'")
        begun = stage.commits.would_find("select 1 from history where kind = 'started' and generation = 1")
        torn.append(ended != begun)

    stage.commits.before = look
    await (await engine.start(subscription, 2)).result(30)
    assert torn
    assert not any(torn)


async def test_a_cancel_that_comes_while_a_generation_ends_is_delivered_to_the_next(stage: Stage) -> None:
    reached = asyncio.Event()

    @step
    async def waits() -> None:
        reached.set()
        await asyncio.sleep(0.05)

    @workflow
    async def for_ever(number: int) -> None:
        if number == 0:
            await waits()
            await continue_as_new(1)
        await receive("never")

    engine = await stage.engine(for_ever)
    run = await engine.start(for_ever, 0)
    await reached.wait()
    stage.on_checkpoint = lambda batch: run.cancel() if any(type(one.ending).__name__ == "Continue" for one in batch.changes) else None

    with pytest.raises(RunCancelled):
        await run.result(30)
    assert await kinds(run) == ["started", "step", "continued", "started", "cancel", "cancelled"]


async def test_a_run_that_was_told_of_its_cancel_ends_instead(stage: Stage) -> None:
    @workflow
    async def evades() -> None:
        try:
            await receive("never")
        except asyncio.CancelledError:
            await continue_as_new()

    engine = await stage.engine(evades)
    run = await engine.start(evades)
    await stage.until_parked(engine, run)
    await run.cancel()

    with pytest.raises(RunCancelled):
        await run.result(30)
    assert generations(stage) == [0]


async def test_the_limit_of_a_history_is_one_for_each_generation(stage: Stage) -> None:
    settings = replace(CALM, limits=Limits(history_records=8, history_records_warned=7))

    @workflow
    async def long(left: int) -> str:
        for _ in range(4):
            await bill(left)
        if left:
            await continue_as_new(left - 1)
        return "done"

    engine = await stage.engine(long, settings=settings)

    assert await (await engine.start(long, 5)).result(30) == "done"


async def test_a_mark_is_passed_anew_in_each_generation_and_the_note_stays(stage: Stage) -> None:
    @workflow
    async def marked(number: int) -> bool:
        is_new = patched("mark")
        if number == 0:
            set_status("in the first")
            await continue_as_new(1)
        return is_new

    engine = await stage.engine(marked)
    run = await engine.start(marked, 0)

    assert await run.result(30) is True
    assert await kinds(run) == ["started", "patched", "continued", "started", "patched", "completed"]
    assert (await run.status()).note == "in the first"


async def test_a_later_generation_that_failed_can_be_retried_with_its_own_input(stage: Stage) -> None:
    fails = [True]

    @step
    async def shaky(number: int) -> int:
        if fails.pop():
            fails.append(False)
            raise LookupError("not yet")
        return number

    @workflow
    async def flow(number: int) -> int:
        if number < 2:
            await continue_as_new(number + 1)
        return await shaky(number)

    engine = await stage.engine(flow)
    run = await engine.start(flow, 0)
    with pytest.raises(RunFailed):
        await run.result(30)
    await run.retry()

    assert await run.result(30) == 2


async def test_a_step_that_is_still_running_when_its_generation_ends_records_nothing_in_the_next(stage: Stage) -> None:
    late = asyncio.Event()

    @step
    async def slow(number: int) -> int:
        if number == 0:
            try:
                await late.wait()
            except asyncio.CancelledError:
                pass
        return number

    @workflow
    async def leaves(number: int) -> int:
        task = asyncio.create_task(slow(number))
        if number == 0:
            await bill(0)
            await continue_as_new(1)
        return await task

    engine = await stage.engine(leaves)
    run = await engine.start(leaves, 0)

    assert await run.result(30) == 1
    assert await kinds(run) == ["started", "step", "continued", "started", "step", "completed"]
