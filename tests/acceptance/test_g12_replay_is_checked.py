"""G12: code that does not match the history is quarantined with the difference in words, and goes on after a fix."""

import asyncio
from collections.abc import Callable
from typing import Any

from perdure import Retry, receive, set_status, step, workflow
from perdure.authoring.workflow import Workflow
from tests.acceptance.harness import Stage


@step
async def reserve(item: str) -> str:
    return item


@step
async def charge(item: str) -> str:
    return item


@step(retry=Retry(initial=36000, jitter=0))
async def ship(item: str) -> str:
    raise OSError("no courier")


def flow(body: Callable[..., Any]) -> Workflow[..., Any]:
    """Another version of the workflow `flow`."""
    return workflow(name="flow")(body)


@flow
async def original() -> str:
    await reserve("book")
    await charge("book")
    return await receive("word", str)


async def replayed_with(stage: Stage, before: Workflow[..., Any], after: Workflow[..., Any]):
    """Run the one until it waits, then let a worker with the other one continue it."""
    engine = await stage.engine(before)
    run = await engine.start("flow")
    await stage.until_parked(engine, run)
    await stage.stop(engine)
    history = stage.sql("select * from history order by position")
    again = await stage.engine(after)
    run = again.run(run.id)
    await run.signal("word", "hello")
    return again, run, history


async def message_of_quarantine(stage: Stage, run: Any) -> str:
    status = await stage.until_state(run, "quarantined")
    assert status.error["type"].endswith("NonDeterminism")
    return status.error["message"]


async def test_another_step_in_the_place_of_a_recorded_one_is_told_with_both_names(stage: Stage) -> None:
    @flow
    async def changed() -> str:
        await charge("book")
        await charge("book")
        return await receive("word", str)

    _, run, history = await replayed_with(stage, original, changed)

    said = await message_of_quarantine(stage, run)
    assert said == "command 0: the history holds step 'reserve' (record 2), the code now asks for 'charge'"
    assert stage.sql("select * from history order by position")[: len(history)] == history


async def test_a_step_that_was_taken_out_is_told(stage: Stage) -> None:
    @flow
    async def changed() -> str:
        await reserve("book")
        return await receive("word", str)

    _, run, _ = await replayed_with(stage, original, changed)

    said = await message_of_quarantine(stage, run)
    assert said == "record 3 holds the outcome of step 'charge', command 1, but the code has asked for 1 steps so far"


async def test_a_quarantined_run_goes_on_after_the_code_is_fixed(stage: Stage) -> None:
    @flow
    async def changed() -> str:
        await charge("book")
        return await receive("word", str)

    engine, run, history = await replayed_with(stage, original, changed)
    await stage.until_state(run, "quarantined")
    await stage.stop(engine)

    fixed = await stage.engine(original)
    await fixed.run(run.id).resume()

    assert await fixed.run(run.id).result(30) == "hello"
    assert stage.sql("select * from history order by position")[: len(history)] == history


async def test_what_diverging_code_asked_for_and_noted_is_not_held_against_the_fixed_code(stage: Stage) -> None:
    @flow
    async def changed() -> str:
        set_status("quite another way")
        await asyncio.gather(charge("book"), charge("pen"), charge("ink"), charge("cup"))
        return await receive("word", str)

    engine, run, _ = await replayed_with(stage, original, changed)
    assert (await stage.until_state(run, "quarantined")).note is None
    await stage.stop(engine)

    fixed = await stage.engine(original)
    await fixed.run(run.id).resume()

    assert await fixed.run(run.id).result(30) == "hello"


async def test_a_run_that_diverges_behind_its_note_leaves_memory_in_one_change_and_goes_on_when_resumed_at_once(stage: Stage) -> None:
    @flow
    async def changed() -> str:
        set_status("quite another way")
        await charge("book")
        return await receive("word", str)

    changes: list[list[str]] = []
    stage.on_checkpoint = lambda batch: changes.append([change.run_id for change in batch.changes])
    engine, run, _ = await replayed_with(stage, original, changed)
    await stage.until_state(run, "quarantined")
    await stage.until(lambda: engine.worker._committer._task is None)
    assert run.id not in engine.worker.live

    await run.resume()
    await stage.until(lambda: stage.sql("select 1 from runs where state = 'quarantined'"))
    assert all(len(set(batch)) == len(batch) for batch in changes)


async def test_resumed_without_a_fix_it_is_quarantined_again_and_does_not_loop(stage: Stage) -> None:
    @flow
    async def changed() -> str:
        await charge("book")
        return await receive("word", str)

    engine, run, _ = await replayed_with(stage, original, changed)
    before = (await stage.until_state(run, "quarantined")).error["message"]
    await run.resume()
    await stage.until(lambda: stage.sql("select state from runs where state = 'quarantined'") and not engine.worker.live)

    assert (await run.status()).error["message"] == before
    done = engine.worker.checkpoints
    await stage.until_sweep()
    await stage.until_sweep()
    assert engine.worker.checkpoints - done <= 4


async def test_the_same_steps_asked_for_in_another_order_are_told(stage: Stage) -> None:
    @flow
    async def before() -> str:
        await asyncio.gather(reserve("book"), reserve("pen"))
        return await receive("word", str)

    @flow
    async def after() -> str:
        await asyncio.gather(reserve("pen"), reserve("book"))
        return await receive("word", str)

    _, run, _ = await replayed_with(stage, before, after)

    assert "the code asks for the same steps in another order" in await message_of_quarantine(stage, run)


async def test_merely_changed_arguments_stand_as_recorded(stage: Stage) -> None:
    @flow
    async def before() -> str:
        return await reserve("book") + await receive("word", str)

    @flow
    async def after() -> str:
        return await reserve("pen") + await receive("word", str)

    _, run, _ = await replayed_with(stage, before, after)

    assert await run.result(30) == "bookhello"


async def test_a_step_that_was_asked_for_and_cancelled_counts_although_nothing_of_it_was_recorded(stage: Stage) -> None:
    @flow
    async def before() -> str:
        asked = asyncio.create_task(reserve("book"))
        await asyncio.sleep(0)
        asked.cancel()
        return await receive("word", str)

    @flow
    async def after() -> str:
        return await receive("word", str)

    _, run, _ = await replayed_with(stage, before, after)

    said = await message_of_quarantine(stage, run)
    assert said == "the run had asked for 1 steps when it was last put down; the code now asks for 0 with the same history"


async def test_a_step_that_waits_for_its_next_try_must_be_asked_for_again(stage: Stage) -> None:
    @flow
    async def before() -> str:
        return await ship("book")

    @flow
    async def after() -> str:
        return await reserve("book")

    _, run, _ = await replayed_with(stage, before, after)

    said = await message_of_quarantine(stage, run)
    assert said == "command 0: step 'ship' was under way, the code now asks for 'reserve'"


async def test_a_timer_that_fired_must_have_been_set(stage: Stage) -> None:
    @flow
    async def before() -> str:
        await asyncio.sleep(0.01)
        return await receive("word", str)

    @flow
    async def after() -> str:
        return await receive("word", str)

    _, run, _ = await replayed_with(stage, before, after)

    assert await message_of_quarantine(stage, run) == "record 2: timer 0 fired, but the code has set 0 timers so far"


async def test_a_result_that_does_not_fit_its_type_any_more_is_told(stage: Stage) -> None:
    @step(name="reserve")
    async def reserve_a_number(item: str) -> int:
        return 1

    @flow
    async def after() -> str:
        await reserve_a_number("book")
        await charge("book")
        return await receive("word", str)

    _, run, _ = await replayed_with(stage, original, after)

    assert "the recorded result of step 'reserve' does not fit its type any more" in await message_of_quarantine(stage, run)


async def test_a_run_that_another_python_recorded_waits_for_a_worker_on_that_python_and_says_so(stage: Stage) -> None:
    @flow
    async def changed() -> str:
        await charge("book")
        return await receive("word", str)

    engine = await stage.engine(original)
    run = await engine.start("flow")
    await stage.until_parked(engine, run)
    await stage.stop(engine)
    stage.sql("update runs set python = '3.99'")
    again = await stage.engine(changed)
    run = again.run(run.id)
    await run.signal("word", "hello")

    await stage.until(lambda: stage.sql("select 1 from runs where only_python = '3.99' and state = 'waiting'"))
    (wait,) = (await run.status()).waiting_for
    assert wait["text"] == "a worker on Python 3.99, which recorded its history"


async def test_a_workflow_that_replays_the_same_on_another_python_goes_on_there(stage: Stage) -> None:
    engine = await stage.engine(original)
    run = await engine.start("flow")
    await stage.until_parked(engine, run)
    stage.sql("update runs set python = '3.99'")
    await run.signal("word", "hello")

    assert await run.result(30) == "hello"


async def test_the_neighbours_of_a_quarantined_run_go_on(stage: Stage) -> None:
    @flow
    async def changed() -> str:
        await charge("book")
        return await receive("word", str)

    @workflow
    async def neighbour() -> str:
        return await receive("word", str)

    engine = await stage.engine(original, neighbour)
    run, beside = await engine.start("flow"), await engine.start(neighbour)
    await stage.until_parked(engine, run)
    await stage.stop(engine)
    again = await stage.engine(changed, neighbour)
    await again.run(run.id).signal("word", "hello")
    await stage.until_state(again.run(run.id), "quarantined")

    await again.run(beside.id).signal("word", "hello")
    assert await again.run(beside.id).result(30) == "hello"
