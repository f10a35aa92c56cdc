"""`@workflow` bare and called, and what works inside a run only."""

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from perdure import info, now, random, receive, set_status, sleep_until, step, uuid4, workflow
from perdure.authoring.current import Info, attempt_info
from perdure.errors import NotInWorkflow
from tests.driving import VirtualEngine


@step
async def add(number: int, more: int = 1) -> int:
    return number + more


@workflow
async def order(number: int) -> int:
    """Adds."""
    return await add(number)


@workflow(name="long_order")
async def another(number: int) -> int:
    return await add(await add(number))


async def test_outside_a_run_a_workflow_merely_runs() -> None:
    assert inspect.iscoroutine(call := order(1))
    assert await call == 2
    assert await another(1) == 3


def test_a_workflow_looks_like_its_function_and_is_known_by_its_name() -> None:
    assert (order.__name__, order.__doc__, order.name, another.name) == ("order", "Adds.", "order", "long_order")
    assert list(inspect.signature(order).parameters) == ["number"]
    assert repr(another) == "<workflow long_order>"


@pytest.mark.parametrize("thing", [lambda: 1, 3, print])
def test_a_workflow_is_an_async_function(thing: Any) -> None:
    with pytest.raises(TypeError, match="a workflow is an `async def`"):
        workflow(thing)


def test_a_step_inside_a_step_merely_runs() -> None:
    @step
    async def outer() -> int:
        return await add(1)

    @workflow
    async def sample() -> int:
        return await outer()

    with VirtualEngine(sample).run() as engine:
        assert engine.result == 2
        assert [record.name for record in engine.history] == ["", "outer"]


VALUES: dict[str, Callable[[], Any]] = {
    "now()": now,
    "uuid4()": uuid4,
    "random()": random,
    "info()": info,
    "set_status()": lambda: set_status("note"),
}
WAITS: dict[str, Callable[[], Any]] = {
    "sleep_until()": lambda: sleep_until(datetime(2030, 1, 1, tzinfo=UTC)),
    "receive()": lambda: receive("topic"),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_that_a_run_gives_are_refused_outside_one(name: str) -> None:
    with pytest.raises(NotInWorkflow) as found:
        VALUES[name]()
    assert name in str(found.value)


@pytest.mark.parametrize("name", WAITS)
async def test_waiting_is_refused_outside_a_run(name: str) -> None:
    with pytest.raises(NotInWorkflow) as found:
        await WAITS[name]()
    assert name in str(found.value)


@pytest.mark.parametrize("name", [*VALUES, *WAITS])
def test_in_a_step_too(name: str) -> None:
    @step
    async def asks() -> str:
        try:
            asked = (VALUES | WAITS)[name]()
            if inspect.isawaitable(asked):
                await asked
        except NotInWorkflow:
            return "refused"
        return "answered"

    @workflow
    async def sample() -> str:
        return await asks()

    with VirtualEngine(sample).run() as engine:
        assert engine.result == "refused"


def test_in_a_step_info_tells_of_the_attempt() -> None:
    given = Info("run-1", "order", "add", 2, "key", "token")
    token = attempt_info.set(lambda: given)
    try:
        assert info() is given
    finally:
        attempt_info.reset(token)


def test_arguments_reach_the_workflow_with_their_defaults() -> None:
    @workflow
    async def sums(first: int, second: int = 2, *rest: int, factor: int = 10, **named: int) -> int:
        return factor * (first + second + sum(rest) + sum(named.values()))

    with VirtualEngine(sums, 1).run() as engine:
        assert engine.result == 30
    with VirtualEngine(sums, 1, 3, 5).run() as engine:
        assert engine.result == 90
