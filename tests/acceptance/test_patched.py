"""`patched`: code is changed under runs that are under way, and each goes on the way it began."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from perdure import Retry, info, patched, receive, step, workflow
from perdure.authoring.workflow import Workflow
from tests.acceptance.harness import Stage, kinds, names

begun: list[str] = []


@step
async def charge(item: str) -> str:
    return item


@step
async def check(item: str) -> str:
    return item


@step(retry=Retry(initial=3600, jitter=0))
async def ship(item: str) -> str:
    raise OSError("no courier")


@step(at_most_once=True)
async def hold(item: str) -> str:
    begun.append(item)
    await asyncio.sleep(3600)
    return item


def flow(body: Callable[..., Any]) -> Workflow[..., Any]:
    """Another version of the workflow `flow`."""
    return workflow(name="flow")(body)


@flow
async def original() -> str:
    await charge("book")
    return await receive("word", str)


@flow
async def changed() -> str:
    await charge("book")
    checked = await check("book") if patched("check") else "unchecked"
    return f"{await receive('word', str)} {checked}"


async def test_a_run_that_waited_behind_the_place_of_the_change_keeps_the_old_way_also_after_more_restarts(stage: Stage) -> None:
    engine = await stage.engine(original)
    run = await engine.start("flow")
    await stage.until_parked(engine, run)
    await stage.stop(engine)

    for _ in range(2):
        engine = await stage.engine(changed)
        await stage.kill(engine)
    engine = await stage.engine(changed)
    await engine.run(run.id).signal("word", "hello")

    assert await engine.run(run.id).result(30) == "hello unchecked"
    assert await names(engine.run(run.id)) == ["charge"]


async def test_a_run_that_begins_on_the_changed_code_takes_the_new_way_however_often_its_worker_dies(stage: Stage) -> None:
    engine = await stage.engine(changed)
    run = await engine.start("flow")
    await stage.until_parked(engine, run)
    for _ in range(2):
        await stage.kill(engine)
        engine = await stage.engine(changed)
    await engine.run(run.id).signal("word", "hello")

    assert await engine.run(run.id).result(30) == "hello book"
    assert await kinds(engine.run(run.id)) == ["started", "step", "patched", "step", "signal", "completed"]


async def test_a_run_that_was_handed_over_before_its_step_was_recorded_keeps_the_old_way(stage: Stage) -> None:
    @flow
    async def holds() -> str:
        return await hold("old")

    @flow
    async def holds_anew() -> str:
        return "new" if patched("no hold") else await hold("old")

    engine = await stage.engine(holds)
    run = await engine.start("flow")
    begun.clear()
    await stage.until(lambda: begun)
    engine.kill_attempts()
    await stage.stop(engine)
    again = await stage.engine(holds_anew)

    await stage.until(lambda: stage.sql("select 1 from runs where state <> 'running' or owner is not null"))
    with pytest.raises(Exception, match="may or may not have run"):
        await again.run(run.id).result(30)


async def test_a_step_that_waits_for_its_next_try_keeps_its_run_on_the_old_way(stage: Stage) -> None:
    @flow
    async def ships() -> str:
        return await ship("old")

    @flow
    async def ships_anew() -> str:
        return await charge("new") if patched("another courier") else await ship("old")

    engine = await stage.engine(ships)
    run = await engine.start("flow")
    await stage.until(lambda: stage.sql("select 1 from attempts where failures = 1"))
    await stage.kill(engine)
    again = await stage.engine(ships_anew)
    stage.skip(hours=1.1)

    await stage.until(lambda: stage.sql("select 1 from attempts where failures >= 2"), skipping=10)
    assert await kinds(again.run(run.id)) == ["started"]


async def test_a_mark_passed_last_is_kept_although_the_run_waits_or_ends_before_it_records_anything_else(stage: Stage) -> None:
    @flow
    async def marks_and_waits() -> bool:
        first = patched("first")
        await receive("word")
        return first and patched("second")

    engine = await stage.engine(marks_and_waits)
    run = await engine.start("flow")
    await stage.until_parked(engine, run)
    assert await kinds(run) == ["started", "patched"]
    await run.signal("word")

    assert await run.result(30) is True
    assert await kinds(run) == ["started", "patched", "signal", "patched", "completed"]


async def test_the_record_of_a_mark_shares_a_commit_with_what_the_run_writes_anyway(stage: Stage) -> None:
    engine = await stage.engine(original, changed_named("other"))
    run = await engine.start("flow")
    await stage.until_parked(engine, run)
    plain = engine.worker.checkpoints
    other = await engine.start("other")
    await stage.until_parked(engine, other)
    marked = engine.worker.checkpoints - plain

    assert marked <= plain + 1, "the step behind the mark may cost a checkpoint, the mark itself none"


def changed_named(name: str) -> Workflow[..., Any]:
    @workflow(name=name)
    async def body() -> str:
        await charge("book")
        assert patched("one")
        assert patched("two")
        return await receive("word", str)

    return body


async def test_code_that_diverged_does_not_say_how_far_the_run_had_come(stage: Stage) -> None:
    """The wrong code asked for ten steps before it was found out; the right one asks for one, and goes on."""

    @flow
    async def wrong() -> str:
        await asyncio.gather(*[check("book") for _ in range(10)])
        return await receive("word", str)

    engine = await stage.engine(original)
    run = await engine.start("flow")
    await stage.until_parked(engine, run)
    await stage.stop(engine)
    engine = await stage.engine(wrong)
    await engine.run(run.id).signal("word", "hello")
    await stage.until_state(engine.run(run.id), "quarantined")
    await stage.stop(engine)

    engine = await stage.engine(original)
    await engine.run(run.id).resume()
    assert await engine.run(run.id).result(30) == "hello"


async def test_a_step_that_failed_is_retried_under_its_key_although_the_code_has_a_new_step_before_it(stage: Stage) -> None:
    keys: list[tuple[str, str | None]] = []

    @step(retry=Retry(attempts=1))
    async def pay(item: str) -> str:
        keys.append((item, info().idempotency_key))
        if len(keys) == 1:
            raise OSError("the bank does not answer")
        return item

    @flow
    async def before() -> str:
        return await pay("book")

    @flow
    async def after() -> str:
        if patched("pay for the box, too"):
            await pay("box")
        paid = await pay("book")
        return f"{paid} {patched('say so')}"

    engine = await stage.engine(before)
    run = await engine.start("flow", id="order-1")
    await stage.until_state(run, "failed")
    await stage.stop(engine)

    engine = await stage.engine(after)
    await engine.run(run.id).retry()

    assert await engine.run(run.id).result(30) == "book True"
    assert keys == [("book", "default/order-1/0/0")] * 2


async def test_a_run_whose_own_code_failed_takes_the_new_way_from_there_when_it_is_retried(stage: Stage) -> None:
    @flow
    async def before() -> str:
        paid = await charge("book")
        raise KeyError(paid)

    @flow
    async def after() -> str:
        too_late = patched("before the payment")
        paid = await charge("book")
        return f"{paid} {too_late} {patched('after it')}"

    engine = await stage.engine(before)
    run = await engine.start("flow", id="order-1")
    await stage.until_state(run, "failed")
    await stage.stop(engine)

    engine = await stage.engine(after)
    await engine.run(run.id).retry()

    assert await engine.run(run.id).result(30) == "book False True"
    assert await kinds(engine.run(run.id)) == ["started", "step", "failed", "patched", "completed"]
