"""What bad input gets: a clear error, where it is given, and nothing changed."""

import asyncio
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from perdure import Retry, receive, sleep_until, step, workflow
from perdure.errors import (
    BadInput,
    DecodeError,
    EncodeError,
    NotInWorkflow,
    RunFailed,
)
from tests.acceptance.harness import Stage, kinds


@dataclass
class Order:
    item: str
    count: int


@step
async def keep(value: Any) -> str:
    return "kept"


@workflow
async def buy(order: Order, *, express: bool = False) -> int:
    return order.count


@workflow
async def hear() -> int:
    return await receive("number", int)


# ── arguments ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        ((), {}, "argument 'order' is missing"),
        ((Order("book", 1),), {"quick": True}, "there is no parameter 'quick'"),
        ((Order("book", 1), True), {}, "too many positional arguments"),
        ((Order("book", 1),), {"order": Order("pen", 1)}, "order"),
        ((Order("book", "many"),), {}, r"order\.count"),
        (("book",), {}, "order"),
        ((Order("book", 1),), {"express": "perhaps"}, "express"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_arguments_that_do_not_fit_are_refused_at_start_with_the_field_named(
    stage: Stage, args: tuple[Any, ...], kwargs: dict[str, Any], says: str
) -> None:
    engine = await stage.engine(buy)

    with pytest.raises(BadInput, match=f"buy.*{says}|{says}.*buy"):
        await engine.start(buy, *args, **kwargs)

    assert stage.content()["runs"] == []


async def test_arguments_given_by_name_of_the_workflow_are_checked_by_the_worker_and_fail_the_run(stage: Stage) -> None:
    await stage.engine(buy)
    run = await (await stage.client()).start("buy", {"item": "book", "count": "many"})

    with pytest.raises(RunFailed, match=r"order\.count"):
        await run.result(30)


async def test_arguments_that_have_no_json_form_are_refused_with_the_field_named(stage: Stage) -> None:
    @workflow
    async def flow(thing: Any) -> None:
        return None

    engine = await stage.engine(flow)
    with pytest.raises(EncodeError, match="workflow flow.*thing"):
        await engine.start(flow, object())
    assert stage.content()["runs"] == []


async def test_a_signal_that_has_no_json_form_is_refused(stage: Stage) -> None:
    engine = await stage.engine(hear)
    run = await engine.start(hear)

    with pytest.raises(EncodeError, match="signal number"):
        await run.signal("number", object())
    assert stage.content()["inbox"] == []


@pytest.mark.parametrize("name", ["", "x" * 201, "line\nbreak", "\0"], ids=["empty", "too long", "line break", "nul"])
async def test_ids_topics_keys_and_names_that_nobody_could_read_are_refused(stage: Stage, name: str) -> None:
    engine = await stage.engine(hear)
    run = await engine.start(hear)
    before = stage.content()["runs"][0][1]

    for asked, what in (
        (engine.start(hear, id=name), "id"),
        (engine.start(name), "workflow name"),
        (run.signal(name, 1), "topic"),
        (run.signal("number", 1, key=name), "key"),
    ):
        with pytest.raises(BadInput, match=f"{what} must be"):
            await asked
    assert [row[1] for row in stage.content()["runs"]] == [before]
    assert stage.content()["inbox"] == stage.content()["signal_keys"] == []


# ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_result_that_cannot_be_stored_fails_that_step_at_once_with_its_name(stage: Stage) -> None:
    tries = 0

    @step(retry=Retry(initial=0, jitter=0))
    async def make() -> Any:
        nonlocal tries
        tries += 1
        return object()

    @workflow
    async def flow() -> str:
        try:
            await make()
        except EncodeError as error:
            return str(error)
        return "never"

    engine = await stage.engine(flow)
    run = await engine.start(flow)

    assert "result of step make" in await run.result(30)
    assert tries == 1
    assert [(one.kind, one.attempt) for one in await run.history()] == [("started", 0), ("step_failed", 1), ("completed", 0)]


async def test_arguments_of_a_step_that_cannot_be_stored_are_refused_before_it_begins(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        try:
            await keep(object())
        except EncodeError as error:
            return str(error)
        return "never"

    engine = await stage.engine(flow)
    run = await engine.start(flow)

    assert "step keep" in await run.result(30)
    assert await kinds(run) == ["started", "completed"]


async def test_a_result_of_a_workflow_that_cannot_be_stored_fails_the_run(stage: Stage) -> None:
    @workflow
    async def flow() -> Any:
        return object()

    engine = await stage.engine(flow)
    with pytest.raises(RunFailed, match="result of workflow flow"):
        await (await engine.start(flow)).result(30)


async def test_a_signal_that_does_not_fit_what_is_received_is_an_error_there_and_the_next_one_is_received(stage: Stage) -> None:
    @workflow
    async def flow() -> list[Any]:
        said: list[Any] = []
        for _ in range(2):
            try:
                said.append(await receive("number", int))
            except DecodeError as error:
                said.append(str(error))
        return said

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await run.signal("number", "many")
    await run.signal("number", 5)

    first, second = await run.result(30)
    assert "signal number" in first
    assert second == 5


# ── moments and durations ────────────────────────────────────────────────────────────────────────────────────────────

ABSURD = [-1, -0.001, math.nan, math.inf, 1e15, timedelta(seconds=-1), timedelta.max]


@pytest.mark.parametrize("length", ABSURD, ids=str)
async def test_negative_nan_and_huge_durations_are_refused_by_every_setting(stage: Stage, length: Any) -> None:
    for ask in (
        lambda: Retry(initial=length),
        lambda: Retry(maximum=length),
        lambda: Retry(give_up_after=length),
        lambda: step(timeout=length),
        lambda: keep.options(timeout=length),
    ):
        with pytest.raises(ValueError, match="must not be negative|must be finite|longer than 365000 days"):
            ask()
    engine = await stage.engine(hear)
    run = await engine.start(hear)
    with pytest.raises(ValueError, match="timeout"):
        await run.result(length)


@pytest.mark.parametrize("length", ABSURD, ids=str)
async def test_negative_nan_and_huge_durations_are_refused_in_workflow_code(stage: Stage, length: Any) -> None:
    @workflow
    async def flow() -> str:
        try:
            await receive("number", int, timeout=length)
        except ValueError as error:
            return str(error)
        return "never"

    engine = await stage.engine(flow)
    assert "timeout" in await (await engine.start(flow)).result(30)


@pytest.mark.parametrize("length", [math.nan, math.inf, 1e15], ids=str)
async def test_a_sleep_without_end_is_refused_with_its_line(stage: Stage, length: float) -> None:
    @workflow
    async def flow() -> str:
        try:
            await asyncio.sleep(length)
        except ValueError as error:
            return str(error)
        return "never"

    engine = await stage.engine(flow)
    said = await (await engine.start(flow)).result(30)
    assert "nan" in said.lower() or ("must be finite" in said and "test_bad_input.py" in said)


async def test_a_moment_without_a_time_zone_is_refused(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        try:
            await sleep_until(datetime(2126, 1, 1))
        except ValueError as error:
            return str(error)
        return "never"

    engine = await stage.engine(flow)
    assert "has no time zone; use datetime.now(UTC)" in await (await engine.start(flow)).result(30)


@pytest.mark.parametrize(
    "bad",
    [{"attempts": 0}, {"attempts": 1.5}, {"attempts": True}, {"factor": 0.5}, {"factor": math.nan}, {"jitter": 1}, {"jitter": -0.1}],
    ids=str,
)
def test_a_retry_that_makes_no_sense_is_refused_where_it_is_written(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Retry(**bad)


def test_what_is_no_async_function_is_refused_as_a_workflow_and_a_generator_as_a_step() -> None:
    with pytest.raises(TypeError, match="a workflow is an `async def`; 'plain' is not"):

        @workflow
        def plain() -> None:
            return None

    with pytest.raises(TypeError, match="numbers.? is a generator; a step returns one value"):

        @step
        async def numbers():
            yield 1


async def test_waiting_outside_a_run_says_where_it_works() -> None:
    with pytest.raises(NotInWorkflow, match="receive.. works inside a workflow only, and not inside a step"):
        await receive("word")


async def test_waiting_inside_a_step_says_where_it_works(stage: Stage) -> None:
    @step
    async def waits() -> None:
        await receive("word")

    @workflow
    async def flow() -> str:
        try:
            await waits.options(retry=Retry(attempts=1))()
        except NotInWorkflow as error:
            return str(error)
        return "never"

    engine = await stage.engine(flow)
    assert "works inside a workflow only" in await (await engine.start(flow)).result(30)
