"""Steps: time limits, how a failure reaches the workflow, and many at once."""

import asyncio
import threading

import pytest

from perdure import Retry, info, receive, step, workflow
from perdure.errors import RunFailed, StepFailed
from tests.acceptance.harness import Stage, kinds


class OutOfStock(Exception):
    """What a step of a shop may raise."""


class Courier(Exception):
    """Cannot be built again from its arguments."""

    def __init__(self, order: int, *, city: str) -> None:
        super().__init__(f"no courier for order {order} to {city}")


# ── time limits ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_attempt_of_an_async_step_that_takes_too_long_is_cancelled_and_tried_again(stage: Stage) -> None:
    cancelled: list[int | None] = []

    @step(timeout=60, retry=Retry(attempts=2, initial=0, jitter=0))
    async def hang() -> str:
        if info().attempt == 2:
            return "second"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(info().attempt)
            raise
        return "never"

    @workflow
    async def flow() -> str:
        return await hang()

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: engine.worker._attempts.under_way)
    stage.skip(61)

    assert await run.result(30) == "second"
    assert cancelled == [1]
    assert (await run.history())[1].attempt == 2


async def test_the_error_of_a_step_that_took_too_long_says_so(stage: Stage) -> None:
    @step(timeout=60, retry=Retry(attempts=1))
    async def hang() -> None:
        await asyncio.Event().wait()

    @workflow
    async def flow() -> str:
        try:
            await hang()
        except TimeoutError as error:
            return str(error)
        return "never"

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: engine.worker._attempts.under_way)
    stage.skip(61)

    assert await run.result(30) == "attempt 1 of step hang took longer than its timeout of 60 s"


async def test_a_plain_function_that_takes_too_long_is_given_up_and_its_late_result_is_discarded(stage: Stage) -> None:
    began, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    @step(timeout=60, retry=Retry(attempts=2, initial=0, jitter=0))
    def hang() -> str:
        if info().attempt == 2:
            return "second"
        began.set()
        may_end.wait(20)
        ended.set()
        return "late"

    @workflow
    async def flow() -> str:
        result = await hang()
        await receive("next")
        return result

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(began.is_set)
    stage.skip(61)
    await stage.until(lambda: stage.sql("select 1 from history where kind = 'step'"))
    assert len(engine.worker._attempts.under_way) == 1  # its thread keeps its slot until it ends
    may_end.set()
    await stage.until(lambda: ended.is_set() and not engine.worker._attempts.under_way)
    await run.signal("next")

    assert await run.result(30) == "second"
    assert await kinds(run) == ["started", "step", "signal", "completed"]


async def test_options_for_one_call_override_those_of_the_step(stage: Stage) -> None:
    attempts: list[int | None] = []

    @step(retry=Retry(attempts=5, initial=0, jitter=0), timeout=3600)
    async def fail() -> None:
        attempts.append(info().attempt)
        await asyncio.Event().wait()

    @workflow
    async def flow() -> str:
        try:
            await fail.options(retry=Retry(attempts=1), timeout=5)()
        except TimeoutError as error:
            return str(error)
        return "never"

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: attempts)
    stage.skip(6)

    assert "timeout of 5 s" in await run.result(30)
    assert attempts == [1]


# ── how a failure reaches the workflow ─────────────────────────────────────────────────────────────────────────────────


async def test_a_failure_is_the_original_exception_also_after_a_restart(stage: Stage) -> None:
    caught: list[BaseException] = []

    @step(retry=Retry(attempts=1))
    async def reserve() -> None:
        raise OutOfStock("book", 3)

    @workflow
    async def flow() -> str:
        try:
            await reserve()
        except OutOfStock as error:
            caught.append(error)
        return await receive("word", str)

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    await stage.kill(engine)
    again = await stage.engine(flow)
    await again.run(run.id).signal("word", "hello")
    await again.run(run.id).result(30)

    assert [type(error) for error in caught] == [OutOfStock, OutOfStock]
    assert [error.args for error in caught] == [("book", 3), ("book", 3)]


async def test_a_failure_that_cannot_be_built_again_is_step_failed_with_type_message_and_traceback(stage: Stage) -> None:
    caught: list[StepFailed] = []

    @step(retry=Retry(attempts=1))
    async def book() -> None:
        raise Courier(5, city="Ulm")

    @workflow
    async def flow() -> None:
        try:
            await book()
        except StepFailed as error:
            caught.append(error)

    engine = await stage.engine(flow)
    await (await engine.start(flow)).result(30)

    (error,) = caught
    assert error.type.endswith("test_steps.Courier")
    assert error.message == "no courier for order 5 to Ulm"
    assert 'raise Courier(5, city="Ulm")' in error.traceback


async def test_a_failure_of_a_class_that_is_not_loaded_is_step_failed(stage: Stage) -> None:
    @step(retry=Retry(attempts=1))
    async def reserve() -> None:
        raise OutOfStock("book")

    @workflow
    async def flow() -> str:
        try:
            await reserve()
        except OutOfStock:
            await receive("next")
            return "original"
        except StepFailed as error:
            return f"{error.type}: {error.message}"
        return "never"

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    await stage.stop(engine)
    ((error,),) = stage.sql("select error from history where kind = 'step_failed'")
    as_elsewhere = error.replace(b"test_steps.OutOfStock", b"gone_module.OutOfStock").replace(b'"rebuilt":true', b'"rebuilt":false')
    _change_record(stage, as_elsewhere)

    again = await stage.engine(flow)
    await again.run(run.id).signal("next")
    assert (await again.run(run.id).result(30)).endswith("gone_module.OutOfStock: book")


def _change_record(stage: Stage, error: bytes) -> None:
    """As a version of the code would have written it whose class is gone by now."""
    from perdure.model.records import Record, RecordKind

    columns = "position, at, kind, name, command, digest, input, output, error, attempt"
    ((position, at, kind, *rest),) = stage.sql(f"select {columns} from history where kind = 'step_failed'")
    record = Record(position, at, RecordKind(kind), *rest[:5], error, rest[6])
    stage.sql("update history set error = ?, checksum = ? where kind = 'step_failed'", error, record.checksum())


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError("no"), GeneratorExit()], ids=repr)
async def test_f10_f11_whatever_a_step_raises_is_recorded_and_the_worker_lives(stage: Stage, raised: BaseException) -> None:
    @step(retry=Retry(attempts=1))
    async def fail() -> None:
        raise raised

    @workflow
    async def flow() -> str:
        try:
            await fail()
        except Exception as error:
            return type(error).__name__
        return "never"

    engine = await stage.engine(flow)
    assert await (await engine.start(flow)).result(30) == "StepFailed"
    assert not engine.failure.done()


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt("stop")], ids=repr)
async def test_f10_whatever_a_plain_function_raises_is_recorded_and_the_worker_lives(stage: Stage, raised: BaseException) -> None:
    @step(retry=Retry(attempts=1))
    def fail() -> None:
        raise raised

    @workflow
    async def flow() -> str:
        try:
            await fail()
        except Exception as error:
            return type(error).__name__
        return "never"

    engine = await stage.engine(flow)
    assert await (await engine.start(flow)).result(30) == "StepFailed"
    assert not engine.failure.done()


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()], ids=repr)
async def test_f10_f11_whatever_workflow_code_raises_fails_its_run_and_the_worker_lives(stage: Stage, raised: BaseException) -> None:
    @workflow
    async def flow() -> None:
        await asyncio.sleep(0)
        raise raised

    @workflow
    async def neighbour() -> str:
        return "fine"

    engine = await stage.engine(flow, neighbour)
    run = await engine.start(flow)

    with pytest.raises(RunFailed):
        await run.result(30)
    assert await (await engine.start(neighbour)).result(30) == "fine"
    assert not engine.failure.done()


# ── many at once ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_f15_many_more_plain_functions_than_threads_all_run(stage: Stage) -> None:
    @step
    def work(number: int) -> int:
        return number

    @workflow
    async def flow(count: int) -> int:
        return sum(await asyncio.gather(*(work(number) for number in range(count))))

    engine = await stage.engine(flow)
    assert await (await engine.start(flow, 500)).result(30) == sum(range(500))


async def test_f12_steps_that_hang_in_threads_do_not_stop_the_others_and_show_their_slots(stage: Stage) -> None:
    may_end = threading.Event()

    @step(timeout=60, retry=Retry(attempts=1))
    def hang() -> None:
        may_end.wait(20)

    @step
    def work() -> str:
        return "done"

    @workflow
    async def hangs() -> str:
        try:
            await hang()
        except TimeoutError:
            return "given up"
        return "never"

    @workflow
    async def works() -> str:
        return await work()

    engine = await stage.engine(hangs, works)
    stuck = [await engine.start(hangs) for _ in range(10)]
    await stage.until(lambda: len(engine.worker._attempts.under_way) == 10)
    assert await (await engine.start(works)).result(30) == "done"
    stage.skip(61)
    assert [await run.result(30) for run in stuck] == ["given up"] * 10
    assert len(engine.worker._attempts.under_way) == 10
    may_end.set()


async def test_steps_see_copies_and_cannot_change_what_the_workflow_holds(stage: Stage) -> None:
    @step
    async def append(numbers: list[int]) -> list[int]:
        numbers.append(99)
        return numbers

    @workflow
    async def flow() -> list[list[int]]:
        mine = [1]
        theirs = await append(mine)
        return [mine, theirs]

    engine = await stage.engine(flow)
    assert await (await engine.start(flow)).result(30) == [[1], [1, 99]]


async def test_outside_a_run_a_step_is_the_plain_function(stage: Stage) -> None:
    @step
    async def double(number: int) -> int:
        return 2 * number

    @step
    def triple(number: int) -> int:
        return 3 * number

    assert (await double(2), await triple(2)) == (4, 6)
