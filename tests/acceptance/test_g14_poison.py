"""G14: a run that kills its workers is quarantined in the end; its neighbours, and restarts from outside, quarantine nobody."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from perdure import Run, receive, step, workflow
from perdure.store.protocol import STRIKES_MOST, Checkpoint
from tests.acceptance.harness import CALM, Stage

executing: list[str] = []
may_end = threading.Event()


@pytest.fixture(autouse=True)
def _nobody_executes() -> Iterator[None]:
    executing.clear()
    may_end.clear()
    yield
    may_end.set()  # the threads of workers that were killed


@step
def crash(name: str) -> str:
    """Executes when its process dies, as far as anybody can tell."""
    executing.append(name)
    may_end.wait(20)
    return "survived"


@workflow
async def poison(name: str) -> str:
    return await crash(name)


@workflow
async def hear() -> str:
    return await receive("word", str)


async def die(stage: Stage, times: int) -> None:
    """So many processes, one after the other, each killed while the poison's code is executing."""
    for _ in range(times):
        before = len(executing)
        engine = await stage.engine(poison, hear)
        await stage.until(lambda before=before: len(executing) > before, skipping=CALM.sweep_seconds)
        await stage.kill(engine)


async def test_a_run_under_whose_code_process_after_process_dies_is_quarantined_and_says_why(stage: Stage) -> None:
    engine = await stage.engine()
    run = await engine.start("poison", "poison", id="poison")
    await stage.stop(engine)
    await die(stage, STRIKES_MOST)

    living = await stage.engine(poison, hear)
    status = await stage.until_state(living.run(run.id), "quarantined")
    assert f"{STRIKES_MOST}" in status.error["message"]
    await stage.until_sweep()
    assert len(executing) == STRIKES_MOST


async def test_a_quarantined_poison_goes_on_after_it_was_fixed_and_resumed(stage: Stage) -> None:
    engine = await stage.engine()
    run = await engine.start("poison", "poison", id="poison")
    await stage.stop(engine)
    await die(stage, STRIKES_MOST)
    living = await stage.engine(poison, hear)
    run = living.run(run.id)
    await stage.until_state(run, "quarantined")
    may_end.set()
    await run.resume()

    assert await run.result(30) == "survived"


async def test_neighbours_of_a_poison_are_never_quarantined(stage: Stage) -> None:
    engine = await stage.engine()
    neighbours = [await engine.start("hear") for _ in range(5)]
    await engine.start("poison", "poison", id="poison")
    await stage.stop(engine)
    await die(stage, STRIKES_MOST)

    living = await stage.engine(poison, hear)
    for run in neighbours:
        await living.run(run.id).signal("word", "hello")
    assert [await living.run(run.id).result(30) for run in neighbours] == ["hello"] * 5


async def test_restarts_from_outside_quarantine_nobody(stage: Stage) -> None:
    began = 0
    may_return = asyncio.Event()

    @step
    async def wait() -> str:
        nonlocal began
        began += 1
        await may_return.wait()
        return "waited"

    @workflow
    async def flow() -> str:
        return await wait()

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    for deaths in range(1, 2 * STRIKES_MOST):
        await stage.until(lambda deaths=deaths: began == deaths)
        await stage.kill(engine)
        engine = await stage.engine(flow)
    may_return.set()

    assert await engine.run(run.id).result(30) == "waited"


async def test_two_runs_that_execute_when_a_process_dies_share_the_suspicion_and_are_cleared_by_progress(stage: Stage) -> None:
    engine = await stage.engine(poison, hear)
    for name in ("guilty", "innocent"):
        await engine.start(poison, name, id=name)
    await stage.until(lambda: len(executing) == 2)
    await stage.kill(engine)
    again = await stage.engine(poison, hear)
    await stage.until(lambda: stage.sql("select run_id, strikes from suspects order by 1") == [("guilty", 1), ("innocent", 1)])
    await stage.until(lambda: len(executing) == 4)
    may_end.set()

    assert [await again.run(name).result(30) for name in ("guilty", "innocent")] == ["survived"] * 2
    assert stage.sql("select * from suspects") == []


async def test_code_that_kills_its_process_late_is_quarantined_in_the_end(stage: Stage) -> None:
    engine = await stage.engine()
    run = await engine.start("poison", "poison", id="poison")
    await stage.stop(engine)
    for death in range(1, STRIKES_MOST + 1):
        engine = await stage.engine(poison, hear)
        await stage.until(lambda death=death: len(executing) == death, skipping=CALM.sweep_seconds)
        for _ in range(4):  # it executes much longer than a suspect is alone at least
            stage.skip(CALM.alone_seconds + 0.01)
            for _ in range(20):
                await asyncio.sleep(0)
        await stage.kill(engine)

    living = await stage.engine(poison, hear)
    status = await stage.until_state(living.run(run.id), "quarantined")
    assert f"{STRIKES_MOST}" in status.error["message"]
    assert len(executing) == STRIKES_MOST


async def test_a_suspect_keeps_new_runs_waiting_for_a_moment_only_although_a_long_step_is_under_way(stage: Stage) -> None:
    @step
    async def long() -> None:
        await asyncio.Event().wait()

    @workflow
    async def slow() -> None:
        await long()

    @workflow
    async def quick() -> int:
        return 1

    engine = await stage.engine(slow, quick, poison)
    await engine.start(slow)
    await stage.until(lambda: engine.worker._attempts.under_way)
    stage.sql("insert into suspects values ('default', 'suspect', 2)")
    await (await stage.client()).start("poison", "suspect", id="suspect")
    await stage.until(lambda: engine.worker._suspects.forbid_claims(False), skipping=1)
    before = stage.clock.moved
    for _ in range(3):
        run = await engine.start(quick)
        await stage.until(lambda run=run: stage.sql("select 1 from runs where id = ? and state = 'completed'", run.id), skipping=0.5)

    assert stage.clock.moved - before < CALM.make_room_seconds


async def test_a_run_that_is_started_while_a_suspect_is_claimed_does_not_run_beside_it(stage: Stage) -> None:
    engine = await stage.engine(hear, poison, settings=replace(CALM, sweep_seconds=1e6, linger_seconds=600.0))
    stage.sql("insert into suspects values ('default', 'suspect', 2)")
    starting: list[asyncio.Task[Run[str]]] = []

    async def start_another(batch: Checkpoint) -> None:
        """While a claim is on its way to the store that will find the suspect."""
        if batch.claims is not None and not starting:
            await client.start("poison", "suspect", id="suspect")
            starting.append(asyncio.create_task(engine.start(hear)))
            await asyncio.wait(starting)

    client = await stage.client()
    stage.on_checkpoint = start_another
    engine.worker.claim_soon()
    await stage.until(lambda: executing)
    assert list(engine.worker.live) == ["suspect"]
    may_end.set()

    run = await starting[0]
    await run.signal("word", "hello")
    assert await run.result(30) == "hello"
