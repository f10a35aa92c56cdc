"""What nobody expected is the trouble of the run it was raised for: every other run of the worker goes on."""

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from perdure import Engine, Retry, step, workflow
from perdure.engine.live import LiveRun
from perdure.errors import RunFailed
from perdure.store.endings import Park
from tests.acceptance.harness import CALM, Stage, kinds


@dataclass
class Receipt:
    id: int
    total: int = field(init=False)  # never set: a plain mistake of a user


@step
async def one() -> int:
    return 1


@step
def plain() -> int:
    return 1


@workflow
async def good() -> int:
    return await one()


@workflow
async def in_a_thread() -> int:
    return await plain()


async def neighbour_works(engine: Engine) -> None:
    assert await (await engine.start(good)).result(30) == 1


async def test_a_result_that_cannot_be_encoded_fails_its_run_and_no_other(stage: Stage) -> None:
    @workflow
    async def bad() -> Receipt:
        return Receipt(1)

    engine = await stage.engine(bad, good)
    run = await engine.start(bad)
    with pytest.raises(RunFailed):
        await run.result(30)

    await neighbour_works(engine)


async def test_what_nobody_expected_after_a_commit_quarantines_its_run_with_the_reason(stage: Stage) -> None:
    engine = await stage.engine(good)
    activation = engine.worker._activation
    real = activation.apply

    def apply(run: LiveRun, records: Any) -> None:
        if run.id == "spoiled":
            raise ZeroDivisionError("nobody expected this")
        real(run, records)

    type(activation).apply, original = (lambda _, run, records: apply(run, records)), type(activation).apply  # slots
    try:
        spoiled = await engine.start(good, id="spoiled")
        await neighbour_works(engine)
        status = await stage.until_state(spoiled, "quarantined")
    finally:
        type(activation).apply = original
    assert status.error["message"] == "nobody expected this"

    await spoiled.resume()
    assert await spoiled.result(30) == 1


async def test_what_nobody_expected_of_the_store_ends_the_worker_and_its_runs_go_to_another(stage: Stage) -> None:
    engine = await stage.engine(good)
    stage.fail(engine, "checkpoint", ZeroDivisionError("nobody expected this"))
    run = await engine.start(good)
    await stage.until(engine.failure.done)

    assert str(engine.failure.exception()) == "nobody expected this"
    assert engine.worker.incarnation == ""
    other = await stage.engine(good)
    assert await other.run(run.id).result(30) == 1


async def test_a_commit_whose_task_somebody_cancels_is_asked_after_and_nothing_is_lost(stage: Stage) -> None:
    @workflow
    async def flow() -> int:
        return sum([await one() for _ in range(20)])

    engine = await stage.engine(flow)
    cancelled: list[asyncio.Task[None] | None] = []

    async def cancel_it(batch: Any) -> None:
        task = engine.worker._committer._task
        if batch.changes and len(cancelled) < 3 and task is not None:
            cancelled.append(task)
            asyncio.get_running_loop().call_soon(task.cancel)  # as an application does with all its tasks
            if len(cancelled) == 2:
                await asyncio.Event().wait()

    stage.on_checkpoint = cancel_it
    run = await engine.start(flow)

    assert await run.result(30) == 20
    assert len(cancelled) == 3
    assert (await kinds(run)).count("step") == 20


async def test_a_moment_without_threads_puts_a_step_off_and_holds_up_nobody(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = await stage.engine(good, in_a_thread)
    real, refused = threading.Thread.start, []

    def start(thread: threading.Thread) -> None:
        if thread.name.startswith("perdure-step") and not refused:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    run = await engine.start(in_a_thread)
    await stage.until(lambda: refused)
    await neighbour_works(engine)

    stage.skip(CALM.sweep_seconds)
    assert await run.result(30) == 1


async def test_a_step_result_that_cannot_be_encoded_is_the_steps_final_failure(stage: Stage) -> None:
    tries = 0

    @step(retry=Retry(attempts=3))
    async def bad() -> Receipt:
        nonlocal tries
        tries += 1
        return Receipt(1)

    @workflow
    async def flow() -> Any:
        return await bad()

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    with pytest.raises(RunFailed):
        await run.result(30)

    assert tries == 1
    assert await kinds(run) == ["started", "step_failed", "failed"]


async def test_a_run_that_cannot_be_parked_is_quarantined(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    @workflow
    async def sleeper() -> None:
        await asyncio.sleep(3600)

    def unwritable(*_: Any) -> Park:
        raise ZeroDivisionError("nobody expected this")

    engine = await stage.engine(sleeper, good)
    monkeypatch.setattr("perdure.engine.activation.waiting_for", unwritable)
    run = await engine.start(sleeper)

    status = await stage.until_state(run, "quarantined")
    assert status.error["message"] == "nobody expected this"
    await neighbour_works(engine)
