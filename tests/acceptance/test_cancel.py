"""G13, F20: a cancel is told once, cleaned up after within a bound, and never lost; whoever was told that it is cancelled finds it so."""

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest

from perdure import Client, Engine, Retry, receive, set_status, step, workflow
from perdure.errors import RunCancelled, RunEnded, RunNotFound
from perdure.run import Run
from perdure.store.endings import Finish
from tests.acceptance.harness import CALM, Stage, kinds, names

HOUR = 3600.0
told: list[str] = []
gate = asyncio.Event()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    global gate
    told.clear()
    gate = asyncio.Event()


@step
async def work(name: str) -> str:
    told.append(name)
    return name


@step
async def wait_for_gate() -> str:
    told.append("waits")
    try:
        await gate.wait()
    except asyncio.CancelledError:
        told.append("step given up")
        raise
    return "gate"


@step(retry=Retry(initial=HOUR, maximum=HOUR))
async def never_works() -> None:
    told.append("tried")
    raise OSError("down")


@workflow
async def sleeps() -> str:
    try:
        await work("first")
        await asyncio.sleep(48 * HOUR)
    finally:
        await work("clean-up")
    return "done"


@workflow
async def receives() -> Any:
    try:
        return await receive("word")
    finally:
        await work("clean-up")


@workflow
async def receives_again_and_again() -> None:
    words: list[Any] = []
    while True:
        words.append(await receive("word"))
        set_status(words)


@workflow
async def is_in_a_step() -> Any:
    try:
        return await wait_for_gate()
    finally:
        await work("clean-up")


@workflow
async def backs_off() -> Any:
    try:
        return await never_works()
    finally:
        await work("clean-up")


@workflow
async def does_many_things() -> Any:
    try:
        async with asyncio.TaskGroup() as group, asyncio.timeout(HOUR):
            group.create_task(asyncio.sleep(HOUR))
            group.create_task(receive("word"))
            group.create_task(wait_for_gate())
    finally:
        await work("clean-up")


@workflow
async def is_shielded() -> Any:
    inner = asyncio.create_task(asyncio.sleep(HOUR, "slept"))
    try:
        return await asyncio.shield(inner)
    except asyncio.CancelledError:
        return await work(f"inner is {'done' if inner.done() else 'under way'}")


WAITING = [sleeps, receives, backs_off]
ALL = [*WAITING, is_in_a_step, does_many_things, is_shielded]


async def is_cancelled(run: Run) -> None:
    with pytest.raises(RunCancelled, match=run.id):
        await run.result(30)
    assert (await run.status()).state == "cancelled"


@pytest.mark.parametrize("flow", ALL, ids=lambda flow: flow.name)
async def test_f20_a_run_is_cancelled_wherever_it_waits_and_cleans_up_first(stage: Stage, flow: Any) -> None:
    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: told or flow in (receives, is_shielded))
    await stage.until(lambda: not engine.worker._committer._task)

    await run.cancel()

    await is_cancelled(run)
    assert told[-1] in ("clean-up", "inner is under way")
    assert (await kinds(run))[-3:] == ["cancel", "step", "cancelled"]


@pytest.mark.parametrize("flow", WAITING, ids=lambda flow: flow.name)
async def test_a_parked_run_is_cancelled_by_another_process_although_its_worker_dies_before_it_hears_of_it(stage: Stage, flow: Any) -> None:
    engine = await stage.engine(flow)
    run = await engine.start(flow, id="order-1")
    await stage.until_parked(engine, run)
    await stage.kill(engine)

    client = await stage.client()
    await client.run("order-1").cancel()
    assert (await client.run("order-1").status()).waiting_for[0]["kind"] == "cancel"

    again = await stage.engine(flow)
    await is_cancelled(again.run("order-1"))
    assert told[-1] == "clean-up"


async def test_the_step_that_was_under_way_is_given_up_and_records_nothing(stage: Stage) -> None:
    engine = await stage.engine(is_in_a_step)
    run = await engine.start(is_in_a_step)
    await stage.until(lambda: "waits" in told)

    await run.cancel()
    await is_cancelled(run)
    gate.set()

    assert told == ["waits", "step given up", "clean-up"]
    assert await names(run) == ["work"]


async def test_the_result_of_a_thread_that_was_under_way_is_discarded(stage: Stage) -> None:
    started, go = threading.Event(), threading.Event()

    @step
    def in_thread() -> str:
        started.set()
        go.wait(20)
        return "late"

    @workflow
    async def flow() -> str:
        return await in_thread()

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(started.is_set)

    await run.cancel()
    await is_cancelled(run)
    go.set()

    assert await kinds(run) == ["started", "cancel", "cancelled"]


# ── whatever its code does ───────────────────────────────────────────────────────────────────────────────────────────


@workflow
async def returns_all_the_same() -> str:
    try:
        await asyncio.sleep(HOUR)
    except asyncio.CancelledError:
        return "not me"
    return "done"


@workflow
async def raises_in_clean_up() -> None:
    try:
        await asyncio.sleep(HOUR)
    finally:
        raise ValueError("the clean-up is broken")


@workflow
async def goes_on() -> None:
    cancels = 0
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancels += 1
        await work("on")
        set_status(cancels)


async def test_i12_a_run_that_swallows_its_cancel_and_returns_is_cancelled_all_the_same(stage: Stage) -> None:
    engine = await stage.engine(returns_all_the_same)
    run = await engine.start(returns_all_the_same)
    await stage.until_parked(engine, run)

    await run.cancel()

    await is_cancelled(run)
    assert (await run.status()).error is None


async def test_an_error_in_the_clean_up_is_kept_with_the_cancelled_run(stage: Stage) -> None:
    engine = await stage.engine(raises_in_clean_up)
    run = await engine.start(raises_in_clean_up)
    await stage.until_parked(engine, run)

    await run.cancel()

    await is_cancelled(run)
    error = (await run.status()).error
    assert error is not None
    assert (error["type"], error["message"]) == ("builtins.ValueError", "the clean-up is broken")


async def test_f62_code_that_goes_on_is_told_once_and_cut_off_when_its_time_is_over(stage: Stage) -> None:
    engine = await stage.engine(goes_on)
    run = await engine.start(goes_on)
    await stage.until_parked(engine, run)

    await run.cancel(grace=100)
    await stage.until(lambda: told.count("on") == 1)
    await stage.until_parked(engine, run)
    stage.skip(61)
    await stage.until(lambda: told.count("on") == 2)
    await stage.until_parked(engine, run)
    stage.skip(40)
    await is_cancelled(run)

    assert told == ["on", "on"]
    assert (await run.status()).note == 1
    error = (await run.status()).error
    assert error is not None
    assert "cut off" in error["message"]


async def test_the_time_to_clean_up_runs_out_while_nobody_works_and_is_the_recorded_one(stage: Stage) -> None:
    engine = await stage.engine(goes_on, settings=replace(CALM, cancel_grace_seconds=90))
    run = await engine.start(goes_on, id="order-1")
    await stage.until_parked(engine, run)
    await run.cancel()
    await stage.until(lambda: "on" in told)
    await stage.kill(engine)

    stage.skip(91)
    again = await stage.engine(goes_on, settings=replace(CALM, cancel_grace_seconds=9000))

    await is_cancelled(again.run("order-1"))
    error = (await again.run("order-1").status()).error
    assert error is not None
    assert "cut off" in error["message"]


async def test_clean_up_that_waits_within_its_time_is_let_be(stage: Stage) -> None:
    @workflow
    async def flow() -> None:
        try:
            await asyncio.sleep(HOUR)
        finally:
            await asyncio.sleep(100)
            await work("clean-up")

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)

    await run.cancel()
    await stage.until_waiting_for(run, "clean_up")
    stage.skip(100)

    await is_cancelled(run)
    assert told == ["clean-up"]
    assert (await run.status()).error is None


# ── before it began, and when it is over ─────────────────────────────────────────────────────────────────────────────


async def test_a_run_that_has_not_begun_is_cancelled_without_running_a_line_of_it(stage: Stage) -> None:
    await stage.stop(await stage.engine(sleeps))
    client = await stage.client()
    run = await client.start("sleeps", id="order-1")

    await run.cancel()

    await is_cancelled(run)
    engine = await stage.engine(sleeps)
    await stage.until_sweep()
    assert told == []
    await is_cancelled(engine.run("order-1"))
    assert await kinds(run) == ["cancel", "cancelled"]


async def test_a_run_whose_code_does_not_match_any_more_is_cancelled_behind_its_history(stage: Stage) -> None:
    @workflow(name="flow")
    async def before() -> None:
        for _ in range(3):
            await work("before")
        await receive("never")

    @workflow(name="flow")
    async def after() -> None:
        await asyncio.sleep(HOUR)
        await work("after")

    engine = await stage.engine(before)
    run = await engine.start(before)
    await stage.until_parked(engine, run)
    await stage.stop(engine)
    client = await stage.client()
    await client.run(run.id).cancel()
    again = await stage.engine(after)

    await is_cancelled(again.run(run.id))
    assert await kinds(again.run(run.id)) == ["started", "step", "step", "step", "cancel", "cancelled"]


async def test_b52_cancelled_again_and_again_by_two_clients_it_is_cancelled_once(stage: Stage) -> None:
    engine = await stage.engine(sleeps)
    run = await engine.start(sleeps, id="order-1")
    await stage.until_parked(engine, run)
    other = await stage.client()

    await asyncio.gather(*(one.run("order-1").cancel() for one in (engine, other) * 10))
    await is_cancelled(run)
    await other.run("order-1").cancel()

    assert (await kinds(run)).count("cancel") == 1
    assert told == ["first", "clean-up"]


@workflow
async def waits_behind_a_shield() -> None:
    inner, cancels = asyncio.create_task(asyncio.sleep(HOUR)), 0
    while not inner.done():
        try:
            await asyncio.shield(inner)
        except asyncio.CancelledError:
            cancels += 1
            set_status(cancels)


async def test_b55_cancelled_again_and_again_behind_a_shield_it_is_told_once_and_spins_no_more_than_a_run_at_rest(stage: Stage) -> None:
    engine = await stage.engine(waits_behind_a_shield)
    run = await engine.start(waits_behind_a_shield, id="order-1")
    await stage.until_parked(engine, run)
    other = await stage.client()

    for _ in range(5):
        await asyncio.gather(*(one.run("order-1").cancel(grace=100) for one in (engine, other)))
        await stage.until_parked(engine, run)

    stage.skip(101)
    await is_cancelled(run)
    assert (await run.status()).note == 1
    assert await kinds(run) == ["started", "cancel", "cancelled"]


async def test_a_run_that_has_ended_otherwise_cannot_be_cancelled_and_stays_as_it_is(stage: Stage) -> None:
    engine = await stage.engine(receives)
    run = await engine.start(receives)
    await run.signal("word", 7)
    assert await run.result(30) == 7
    before = stage.content()

    with pytest.raises(RunEnded, match="completed"):
        await run.cancel()

    assert stage.content() == before


async def test_a_run_that_does_not_exist_cannot_be_cancelled(stage: Stage) -> None:
    engine = await stage.engine(sleeps)
    for asked in (engine.run("nobody").cancel, engine.run("nobody").pause, engine.run("nobody").retry, engine.run("nobody").delete):
        with pytest.raises(RunNotFound, match="nobody"):
            await asked()


# ── races ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_b14_a_cancel_that_is_acknowledged_just_before_the_end_is_committed_wins(stage: Stage) -> None:
    engine = await stage.engine(receives)
    run = await engine.start(receives, id="order-1")
    other = await stage.client()
    cancelled = []

    async def cancel_before_the_end(batch: Any) -> None:
        if any(isinstance(change.ending, Finish) for change in batch.changes) and not cancelled:
            cancelled.append(True)
            await other.run("order-1").cancel()

    stage.on_checkpoint = cancel_before_the_end
    await run.signal("word", "completes")

    await is_cancelled(run)
    assert cancelled
    assert (await kinds(run))[-2:] == ["cancel", "cancelled"]


async def test_f20_whoever_races_completion_with_a_cancel_finds_what_was_acknowledged(stage: Stage) -> None:
    engine = await stage.engine(receives)
    other = await stage.client()

    async def race(number: int) -> tuple[bool, str]:
        run = await engine.start(receives, id=f"order-{number}")
        ways = [run.signal("word", number), other.run(run.id).cancel()]
        answers = await asyncio.gather(*(ways if number % 2 else ways[::-1]), return_exceptions=True)
        was_cancelled = not any(isinstance(one, RunEnded) and "cancelled any more" in str(one) for one in answers)
        try:
            await run.result(30)
        except RunCancelled:
            pass  # as it should be where the cancel was acknowledged
        return was_cancelled, (await run.status()).state

    outcomes = await asyncio.gather(*(race(number) for number in range(60)))

    assert {state for was_cancelled, state in outcomes if was_cancelled} == {"cancelled"}
    assert {state for was_cancelled, state in outcomes if not was_cancelled} <= {"completed"}


async def test_a_signal_that_came_before_the_cancel_is_received_before_it(stage: Stage) -> None:
    engine = await stage.engine(receives_again_and_again)
    run = await engine.start(receives_again_and_again, id="order-1")
    await stage.until_parked(engine, run)
    await stage.kill(engine)
    client = await stage.client()
    await client.run("order-1").signal("word", "in time")
    await client.run("order-1").cancel()

    await stage.engine(receives_again_and_again)

    await is_cancelled(client.run("order-1"))
    assert await kinds(client.run("order-1")) == ["started", "signal", "cancel", "cancelled"]
    assert (await client.run("order-1").status()).note == ["in time"]


# ── deaths ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@workflow
async def sleeps_and_cleans_up_at_length() -> None:
    try:
        await work("first")
        await asyncio.sleep(HOUR)
    finally:
        for number in range(3):
            await work(f"clean-up {number}")
            await asyncio.sleep(1)


async def cancelled_with_a_death_after(stage: Stage, record: int) -> list[str]:
    """Its worker dies as soon as so many records are on disk, whatever it is doing then; the history in the end."""
    engine: Engine = await stage.engine(sleeps_and_cleans_up_at_length)
    await engine.start(sleeps_and_cleans_up_at_length, id="order-1")
    client: Client = await stage.client()
    run = client.run("order-1")

    async def has_records() -> bool:
        return len(await run.history()) >= record

    if record > 2:
        await stage.until(lambda: "first" in told)
        await stage.until_parked(engine, run)
        await run.cancel()
        await stage.until(has_records, skipping=0.2)
        await stage.kill(engine)
    else:
        await stage.until(has_records)
        await stage.kill(engine)
        await run.cancel()
    again = await stage.engine(sleeps_and_cleans_up_at_length)
    await stage.until_state_of(run, "cancelled", skipping=0.2)
    await is_cancelled(again.run("order-1"))
    return await kinds(run)


@pytest.mark.parametrize("record", range(1, 9))
async def test_f01_with_a_death_after_every_record_it_is_cancelled_and_cleaned_up(stage: Stage, record: int) -> None:
    history = await cancelled_with_a_death_after(stage, record)

    assert history.count("cancel") == 1
    assert history[-1] == "cancelled"
    if "step" in history[: history.index("cancel")]:
        assert [name for name in dict.fromkeys(told) if name.startswith("clean-up")] == [f"clean-up {number}" for number in range(3)]
