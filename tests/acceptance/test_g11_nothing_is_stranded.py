"""G11: every unfinished run is ready, owned by a live worker, waiting for something that can come, or shown as stuck."""

import asyncio
from dataclasses import replace
from typing import Any

from perdure import Retry, receive, step, workflow
from perdure.errors import StoreUnavailable
from perdure.store.endings import Park
from tests.acceptance.harness import CALM, Stage


@workflow
async def hear() -> str:
    return await receive("word", str)


async def test_the_runs_of_a_dead_worker_go_on_in_a_living_one_within_a_sweep(stage: Stage) -> None:
    began = 0
    may_end = asyncio.Event()

    @step
    async def place() -> None:
        nonlocal began
        began += 1
        await may_end.wait()

    @workflow
    async def flow() -> str:
        await place()
        return "placed"

    dying = await stage.engine(flow)
    runs = [await dying.start(flow) for _ in range(10)]
    await stage.until(lambda: began == 10)
    living = await stage.engine(flow)
    await stage.kill(dying)
    await stage.until_sweep()
    await stage.until(lambda: began == 20)
    may_end.set()

    assert [await living.run(run.id).result(30) for run in runs] == ["placed"] * 10


async def test_a_worker_that_starts_finds_what_dead_ones_left_without_waiting_for_their_leases(stage: Stage) -> None:
    for _ in range(3):
        engine = await stage.engine(hear, settings=replace(CALM, lease_seconds=3600.0))
        run = await engine.start(hear)
        await stage.until(
            lambda run=run, engine=engine: run.id in engine.worker.live or stage.sql("select 1 from runs where state = 'waiting'")
        )
        await stage.kill(engine)

    again = await stage.engine(hear)
    for (run_id,) in stage.sql("select id from runs"):
        await again.run(run_id).signal("word", "hello")
        assert await again.run(run_id).result(30) == "hello"


async def test_rows_and_lock_files_of_dead_workers_are_cleared_away(stage: Stage) -> None:
    for _ in range(3):
        await stage.kill(await stage.engine(hear))
    locks = stage.folder / "store.db-locks"
    assert len(list(locks.glob("*.lock"))) == 3

    engine = await stage.engine(hear)
    await stage.until(lambda: stage.sql("select incarnation from workers") == [(engine.worker.incarnation,)])
    await stage.until(lambda: [path.name for path in locks.glob("*.lock")] == [f"{engine.worker.incarnation}.lock"])


async def test_a_signal_whose_wake_up_was_lost_is_found_by_the_sweep(stage: Stage) -> None:
    engine = await stage.engine(hear)
    run = await engine.start(hear)
    await stage.until_parked(engine, run)

    stage.sql(
        "insert into inbox values ('default', ?, 1, ?, 'signal-1', 'word', x'2268656c6c6f22', null)",
        run.id,
        1,
    )
    await stage.until_sweep()

    assert await run.result(30) == "hello"


async def test_a_signal_that_comes_while_its_run_is_being_parked_wakes_it(stage: Stage) -> None:
    engine = await stage.engine(hear, settings=replace(CALM, sweep_seconds=1e6, renew_seconds=1e6))
    client = await stage.client()
    run = await engine.start(hear)
    sent: list[str] = []

    async def send_in_between(batch) -> None:
        if not sent and any(isinstance(change.ending, Park) for change in batch.changes):
            sent.append("hello")
            await client.run(run.id).signal("word", "hello")

    stage.on_checkpoint = send_in_between

    assert await run.result(30) == "hello"
    assert sent


async def test_a_signal_that_comes_before_the_worker_knows_that_its_run_is_parked_wakes_it_at_once(stage: Stage) -> None:
    engine = await stage.engine(hear, settings=replace(CALM, sweep_seconds=1e6, renew_seconds=1e6))
    real, sent = engine._store.checkpoint, []

    async def send_after_the_commit(batch: Any) -> Any:
        done = await real(batch)
        if not sent and any(written.has_left for written in done.written):
            sent.append("hello")
            await run.signal("word", "hello")
        return done

    engine._store.checkpoint = send_after_the_commit
    run = await engine.start(hear)

    assert await run.result(30) == "hello"
    assert sent


async def test_a_failing_sweep_is_met_again_and_finds_what_the_first_one_missed(stage: Stage) -> None:
    living = await stage.engine(hear)
    dying = await stage.engine(hear, settings=replace(CALM, linger_seconds=60.0))
    run = await dying.start(hear)
    await stage.until(lambda: run.id in dying.worker.live)
    raised = stage.fail(living, "survey", StoreUnavailable("busy"), times=2)
    await stage.kill(dying)
    await stage.until(lambda: len(raised) == 2, skipping=CALM.sweep_seconds)
    await living.run(run.id).signal("word", "hello")
    await stage.until_sweep()

    assert await living.run(run.id).result(30) == "hello"


async def test_a_death_that_could_not_be_written_down_is_written_down_by_the_next_sweep(stage: Stage) -> None:
    living = await stage.engine(hear)
    dying = await stage.engine(hear, settings=replace(CALM, linger_seconds=60.0))
    run = await dying.start(hear)
    await stage.until(lambda: run.id in dying.worker.live)
    raised = stage.fail(living, "declare_dead", StoreUnavailable("busy"))
    await stage.kill(dying)
    await stage.until(lambda: raised, skipping=CALM.sweep_seconds)
    await living.run(run.id).signal("word", "hello")
    await stage.until_sweep()

    assert await living.run(run.id).result(30) == "hello"


async def test_a_run_that_belongs_to_a_worker_but_is_not_in_its_memory_is_adopted(stage: Stage) -> None:
    engine = await stage.engine(hear)
    run = await engine.start(hear)
    await stage.until_parked(engine, run)
    await engine.worker._committer.settle()
    # As a claim leaves it whose answer was lost.
    stage.sql("update runs set state = 'running', owner = ?, wake_at = null", engine.worker.incarnation)
    await run.signal("word", "hello")
    await stage.until_sweep()

    assert await run.result(30) == "hello"


async def test_a_run_in_memory_that_belongs_to_nobody_is_dropped(stage: Stage) -> None:
    engine = await stage.engine(hear, settings=replace(CALM, linger_seconds=60.0))
    run = await engine.start(hear)
    await stage.until(lambda: run.id in engine.worker.live and not engine.worker.live[run.id].is_busy)
    stage.sql("update runs set state = 'waiting', owner = null, wake_at = null")
    await stage.until_sweep()

    await stage.until(lambda: run.id not in engine.worker.live)
    assert stage.sql("select state, owner from runs") == [("waiting", None)]


async def test_a_run_that_nothing_can_ever_wake_is_quarantined_with_that_sentence(stage: Stage) -> None:
    @workflow(name="flow")
    async def waits_for_itself() -> str:
        return await asyncio.Queue().get()

    @workflow(name="flow")
    async def waits_for_a_signal() -> str:
        return await receive("word", str)

    engine = await stage.engine(waits_for_itself)
    run = await engine.start("flow")
    status = await stage.until_state(run, "quarantined")
    assert "nothing can ever wake it" in status.error["message"]
    assert status.waiting_for == []
    await stage.stop(engine)

    fixed = await stage.engine(waits_for_a_signal)
    await fixed.run(run.id).resume()
    await fixed.run(run.id).signal("word", "hello")
    assert await fixed.run(run.id).result(30) == "hello"


async def test_a_run_of_a_workflow_that_no_worker_knows_is_left_for_another_and_shown_so(stage: Stage) -> None:
    engine = await stage.engine(hear)
    run = await engine.start("order", 5)
    await stage.until_sweep()
    await engine.worker._committer.settle()

    status = await run.status()
    assert status.state == "pending"
    assert [wait["kind"] for wait in status.waiting_for] == ["worker"]
    assert status.waiting_for[0]["text"] == "a worker that knows workflow 'order'; no live worker does"

    @workflow
    async def order(number: int) -> int:
        return number

    await stage.engine(order)
    assert await run.result(30) == 5


async def test_a_clean_stop_leaves_every_run_to_others_at_once(stage: Stage) -> None:
    for_ever = asyncio.Event()

    @step
    async def place() -> None:
        await for_ever.wait()

    @workflow
    async def flow() -> str:
        await place()
        return "placed"

    engine = await stage.engine(flow, hear)
    placing, hearing = await engine.start(flow), await engine.start(hear)
    await stage.until(lambda: engine.worker._attempts.under_way)
    engine.kill_attempts()
    await stage.stop(engine)
    assert stage.sql("select distinct state, owner from runs") == [("waiting", None)]
    assert {state for (state,) in stage.sql("select state from workers")} <= {"dead"}

    for_ever.set()
    again = await stage.engine(flow, hear)
    await again.run(hearing.id).signal("word", "hello")
    assert await again.run(placing.id).result(30) == "placed"
    assert await again.run(hearing.id).result(30) == "hello"


async def test_a_clean_stop_between_two_steps_hands_the_run_over_and_does_not_take_it_for_stuck(stage: Stage) -> None:
    began: list[str] = []
    may_end = {"quick": asyncio.Event(), "slow": asyncio.Event()}

    @step
    async def place(name: str) -> None:
        began.append(name)
        await may_end[name].wait()

    @workflow
    async def flow(name: str) -> str:
        for _ in range(3):
            await place(name)
        return "placed"

    engine = await stage.engine(flow)
    quick, slow = await engine.start(flow, "quick"), await engine.start(flow, "slow")
    await stage.until(lambda: len(began) == 2)
    stopping = asyncio.create_task(stage.stop(engine))
    await stage.until(lambda: engine.worker._attempts._is_draining)
    may_end["quick"].set()
    await stage.until(lambda: stage.sql("select 1 from history where kind = 'step'") and not engine.worker.live[quick.id].is_in_flight)
    may_end["slow"].set()
    await stopping
    assert sorted(began) == ["quick", "slow"]
    assert stage.sql("select distinct state, wake_at is not null from runs") == [("waiting", 1)]

    again = await stage.engine(flow)
    assert [await again.run(run.id).result(30) for run in (quick, slow)] == ["placed"] * 2
    assert sorted(began) == ["quick"] * 3 + ["slow"] * 3


async def test_a_run_that_only_waits_costs_no_memory(stage: Stage) -> None:
    tries = 0

    @step(retry=Retry(initial=3600, jitter=0))
    async def fail() -> None:
        nonlocal tries
        tries += 1
        raise OSError("away")

    @workflow
    async def sleeps() -> None:
        await asyncio.sleep(3600)

    @workflow
    async def retries() -> None:
        await fail()

    engine = await stage.engine(sleeps, retries, hear)
    for one in (sleeps, retries, hear):
        await engine.start(one)

    await stage.until(lambda: stage.sql("select state, count(*) from runs group by 1") == [("waiting", 3)])
    await stage.until(lambda: not engine.worker.live)
    assert tries == 1


async def test_more_runs_than_fit_into_memory_are_all_finished(stage: Stage) -> None:
    @workflow
    async def flow(number: int) -> int:
        await asyncio.sleep(0.05)
        return number + await receive("add", int)

    small = replace(CALM, runs_in_memory=10, claim_page=7, replays_at_once=2)
    engine = await stage.engine(flow, settings=small)
    runs = [await engine.start(flow, number) for number in range(60)]
    most = 0
    for run in runs:
        await run.signal("add", 100)
        most = max(most, len(engine.worker.live))

    assert [await run.result(30) for run in runs] == list(range(100, 160))
    assert most <= 10
