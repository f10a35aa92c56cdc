"""G4: an at_most_once step writes down that it is about to run; if nobody knows whether it ran, it is not run again."""

import asyncio

import apsw
import pytest

from perdure import Retry, receive, step, workflow
from perdure.errors import RunFailed, StepOutcomeUnknown
from perdure.store.protocol import Checkpoint
from tests.acceptance.harness import Stage, kinds


async def test_the_intent_is_on_disk_before_the_body_begins(stage: Stage) -> None:
    found: list[tuple[object, ...]] = []

    @step(at_most_once=True)
    async def charge() -> str:
        found.extend(stage.sql("select name, intent is not null from attempts"))
        return "charged"

    @workflow
    async def flow() -> str:
        return await charge()

    engine = await stage.engine(flow)
    assert await (await engine.start(flow)).result(30) == "charged"

    assert found == [("charge", 1)]
    assert stage.sql("select * from attempts") == []


async def test_after_a_death_in_its_body_the_workflow_gets_step_outcome_unknown_and_the_body_is_not_run_again(stage: Stage) -> None:
    charged = 0
    for_ever = asyncio.Event()

    @step(at_most_once=True)
    async def charge() -> None:
        nonlocal charged
        charged += 1
        await for_ever.wait()

    @workflow
    async def flow() -> str:
        try:
            await charge()
        except StepOutcomeUnknown as error:
            return str(error)
        return "charged"

    engine = await stage.engine(flow)
    run = await engine.start(flow, id="order-1")
    await stage.until(lambda: charged)
    await stage.kill(engine)

    again = await stage.engine(flow)
    said = await again.run(run.id).result(30)
    assert said == "step charge of run order-1 may or may not have run: its worker died while it was under way"
    assert charged == 1
    assert await kinds(again.run(run.id)) == ["started", "step_failed", "completed"]


async def test_a_step_outcome_unknown_that_nobody_catches_fails_the_run(stage: Stage) -> None:
    began = asyncio.Event()

    @step(at_most_once=True)
    async def charge() -> None:
        began.set()
        await asyncio.Event().wait()

    @workflow
    async def flow() -> None:
        await charge()

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await began.wait()
    await stage.kill(engine)

    again = await stage.engine(flow)
    with pytest.raises(RunFailed) as failed:
        await again.run(run.id).result(30)
    assert isinstance(failed.value.__cause__, StepOutcomeUnknown)


async def test_a_recorded_result_of_an_at_most_once_step_is_known_after_a_death(stage: Stage) -> None:
    charged = 0

    @step(at_most_once=True)
    async def charge() -> str:
        nonlocal charged
        charged += 1
        return "charged"

    @workflow
    async def flow() -> str:
        result = await charge()
        await receive("next")
        return result

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: stage.sql("select 1 from history where kind = 'step'"))
    await stage.kill(engine)

    again = await stage.engine(flow)
    await again.run(run.id).signal("next")
    assert await again.run(run.id).result(30) == "charged"
    assert charged == 1


async def test_its_failure_is_final_unless_a_retry_was_asked_for(stage: Stage) -> None:
    tries = {"charge": 0, "ask": 0}

    @step(at_most_once=True)
    async def charge() -> None:
        tries["charge"] += 1
        raise OSError("declined")

    @step(at_most_once=True, retry=Retry(attempts=3, initial=0, jitter=0))
    async def ask() -> None:
        tries["ask"] += 1
        raise OSError("declined")

    @workflow
    async def flow() -> None:
        for one in (charge, ask):
            try:
                await one()
            except OSError:
                pass  # declined, as it should be

    engine = await stage.engine(flow)
    await (await engine.start(flow)).result(30)

    assert tries == {"charge": 1, "ask": 3}


async def test_an_intent_whose_commit_was_not_answered_is_read_back_and_the_body_runs_once(stage: Stage) -> None:
    charged = 0

    @step(at_most_once=True)
    async def charge() -> str:
        nonlocal charged
        charged += 1
        return "charged"

    @workflow
    async def flow() -> str:
        return await charge()

    def lose_the_answer() -> None:
        if stage.sql("select 1 from attempts where intent is not null"):
            stage.commits.after = lambda: None
            raise apsw.IOError("the answer is lost")

    engine = await stage.engine(flow)
    stage.commits.after = lose_the_answer
    assert await (await engine.start(flow)).result(30) == "charged"
    assert charged == 1


async def test_its_next_try_begins_once_although_the_clock_steps_forward_while_its_intent_is_being_written(stage: Stage) -> None:
    tries = 0
    store_answers, may_end = asyncio.Event(), asyncio.Event()

    @step(at_most_once=True, retry=Retry(attempts=2, initial=1, jitter=0))
    async def charge() -> str:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OSError("declined")
        await may_end.wait()
        return "charged"

    @workflow
    async def flow() -> str:
        return await charge()

    async def stands_still(batch: Checkpoint) -> None:
        if any(change.intents for change in batch.changes):
            held.append(batch)
            await store_answers.wait()

    held: list[Checkpoint] = []
    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: stage.sql("select 1 from attempts where failures = 1"))
    stage.on_checkpoint = stands_still
    await stage.until(lambda: held, skipping=0.5)

    stage.clock.wall_moved = 60
    await stage.until_sweep()
    store_answers.set()
    await stage.until(lambda: tries == 2)
    await stage.until_sweep()
    may_end.set()

    assert await run.result(30) == "charged"
    assert tries == 2
