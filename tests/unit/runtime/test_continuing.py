"""`continue_as_new`: where a generation ends, and what it leaves to the next."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from perdure import continue_as_new, receive, saga, step, workflow
from perdure.errors import BadInput, NotInWorkflow
from tests.driving import Signal, VirtualEngine, replays_alike


@step
async def act(value: str) -> str:
    return value


def ran(body: Callable[..., Any], *args: object, signals: tuple[Signal, ...] = ()) -> VirtualEngine:
    with VirtualEngine(workflow(name="sample")(body), *args, signals=signals).run() as engine:
        replays_alike(engine)
        return engine


def steps_of(engine: VirtualEngine) -> list[str]:
    return [f"{record.kind} {record.name}" for record in engine.history if record.command is not None]


def test_a_generation_ends_with_the_arguments_of_the_next() -> None:
    async def counts(start: int, *, by: int = 1) -> None:
        await act("before")
        await continue_as_new(start + by, by=by)
        await act("never")

    engine = ran(counts, 3)
    assert engine.outcome == ("continued", '{"start":4,"by":1}')
    assert steps_of(engine) == ["step act"]


def test_except_exception_does_not_hold_it_up_and_finally_blocks_run_to_their_end() -> None:
    async def careful() -> None:
        try:
            try:
                await continue_as_new()
            except Exception:
                await act("never")
        finally:
            await act("clean-up")

    engine = ran(careful)
    assert engine.outcome == ("continued", "{}")
    assert steps_of(engine) == ["step act"]


def test_a_saga_takes_it_for_success() -> None:
    async def buys() -> None:
        async with saga() as undo:
            undo(act, "undo")
            async with saga() as inner:
                inner(act, "undo")
                await continue_as_new()

    engine = ran(buys)
    assert engine.outcome == ("continued", "{}")
    assert steps_of(engine) == []


def test_tasks_that_are_left_are_closed_and_a_group_around_it_does_not_matter() -> None:
    async def grouped() -> None:
        asyncio.create_task(act("left"))  # noqa: RUF006 # the run holds it
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(1000))
            await asyncio.sleep(0.5)
            await continue_as_new()

    assert ran(grouped).outcome == ("continued", "{}")


def test_an_error_beside_it_fails_the_run() -> None:
    async def fails() -> None:
        try:
            await receive("never")
        finally:
            raise LookupError("beside")

    async def grouped() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            await asyncio.sleep(1)
            await continue_as_new()

    outcome = ran(grouped).outcome
    assert outcome is not None
    assert outcome[:2] == ("raised", "BaseExceptionGroup")


def test_only_the_workflow_itself_may_end_its_run() -> None:
    async def body() -> str:
        task = asyncio.create_task(continue_as_new())
        await asyncio.wait([task])
        return str(task.exception())

    assert "only the workflow's own code may call it" in ran(body).result


def test_arguments_that_do_not_fit_the_workflow_are_refused_where_it_is_called() -> None:
    async def typed(count: int) -> str:
        try:
            await continue_as_new("many")
        except BadInput as error:
            return str(error)

    assert "count" in ran(typed, 1).result


def test_swallowed_with_bare_hands_it_does_not_end_the_run() -> None:
    async def swallows() -> str:
        try:
            await continue_as_new()
        except BaseException:  # the worst that users write
            return "as if nothing had happened"

    assert ran(swallows).result == "as if nothing had happened"


def test_signals_that_nobody_received_are_left_in_order_of_arrival() -> None:
    async def takes_one() -> None:
        await receive("a")
        waiting = asyncio.create_task(receive("c"))
        await asyncio.sleep(100)
        waiting.cancel()
        await continue_as_new()

    engine = ran(takes_one, signals=((1, "a", 1), (2, "b", 2), (3, "a", 3), (4, "b", 4), (5, "c", 5)))
    assert engine.execution.unreceived() == [("b", b"2"), ("a", b"3"), ("b", b"4")]


def test_outside_a_run_there_is_nothing_to_continue() -> None:
    with pytest.raises(NotInWorkflow):
        asyncio.run(continue_as_new())
