"""`@step` bare and called, outside runs and inside, with settings of its own for one call."""

import inspect
from collections.abc import AsyncGenerator, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from perdure import Retry, step, workflow
from perdure.authoring.step import Step
from perdure.clock import SECOND
from tests.driving import VirtualEngine


@step
async def doubled(number: int) -> int:
    """Twice as much."""
    return 2 * number


@step
def halved(number: int) -> float:
    return number / 2


@step(name="charge_card", retry=Retry(attempts=5), timeout=30)
async def charge(amount: int) -> int:
    return amount


async def test_calling_a_step_always_gives_a_coroutine_and_outside_a_run_merely_runs_it() -> None:
    for call, result in ((doubled(4), 8), (halved(4), 2.0), (charge.options(timeout=1)(3), 3)):
        assert inspect.iscoroutine(call)
        assert await call == result


async def test_outside_a_run_nothing_is_copied_or_checked() -> None:
    given: list[Any] = [object()]

    @step
    async def same(value: list[int]) -> list[int]:
        return value

    assert await same(given) is given


def test_a_step_looks_like_its_function() -> None:
    assert (doubled.__name__, doubled.__doc__, doubled.__module__) == ("doubled", "Twice as much.", __name__)
    assert list(inspect.signature(doubled).parameters) == ["number"]
    assert repr(doubled) == "<step doubled>"
    assert (doubled.is_async, halved.is_async) == (True, False)


def test_a_step_is_known_by_its_functions_name_or_the_one_it_is_given() -> None:
    assert (doubled.name, charge.name) == ("doubled", "charge_card")


def test_settings_are_those_given_or_the_defaults() -> None:
    assert charge.settings.retry.attempts == 5
    assert charge.settings.timeout == 30 * SECOND
    assert (doubled.settings.timeout, doubled.settings.at_most_once, doubled.settings.retry.attempts) == (None, False, None)


def test_options_change_one_call_and_nothing_else() -> None:
    changed = charge.options(retry=Retry(attempts=1), timeout=timedelta(minutes=1))
    assert (changed.settings.retry.attempts, changed.settings.timeout) == (1, 60 * SECOND)
    assert charge.options(timeout=5).settings.retry is charge.settings.retry
    assert charge.options(retry=Retry(attempts=2)).settings.timeout == 30 * SECOND
    assert charge.settings.retry.attempts == 5


def test_a_call_with_options_is_the_same_step_in_the_history() -> None:
    @workflow
    async def pays() -> list[int]:
        return [await charge(1), await charge.options(timeout=1)(2)]

    with VirtualEngine(pays).run() as engine:
        assert engine.result == [1, 2]
        assert [record.name for record in engine.history[1:]] == ["charge_card", "charge_card"]


def test_a_command_carries_the_settings_of_its_call() -> None:
    @workflow
    async def pays() -> None:
        await charge.options(timeout=1, retry=Retry(attempts=7))(2)

    with VirtualEngine(pays).start() as engine:
        options = engine.under_way[0].options
        assert (options.timeout, options.retry.attempts) == (SECOND, 7)


def test_failing_at_most_once_is_final_unless_a_retry_is_given() -> None:
    @step(at_most_once=True)
    async def once() -> None: ...

    @step(at_most_once=True, retry=Retry(attempts=3))
    async def thrice() -> None: ...

    assert (once.settings.retry.attempts, thrice.settings.retry.attempts) == (1, 3)
    assert once.settings.at_most_once


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), timedelta(), timedelta(seconds=-1), 1e-12])
def test_f50_a_timeout_that_makes_no_sense_is_refused_where_the_step_is_defined_or_called(timeout: float | timedelta) -> None:
    with pytest.raises(ValueError, match="timeout"):
        step(timeout=timeout)
    with pytest.raises(ValueError, match="timeout"):
        charge.options(timeout=timeout)


def test_a_generator_is_no_step() -> None:
    async def yields() -> AsyncGenerator[int, None]:
        yield 1

    def yields_plainly() -> Iterator[int]:
        yield 1

    for function in (yields, yields_plainly):
        with pytest.raises(TypeError, match=f"{function.__name__} is a generator; a step returns one value"):
            step(function)


@pytest.mark.parametrize("thing", [1, "name"])
def test_only_a_function_can_be_a_step(thing: object) -> None:
    with pytest.raises(TypeError, match="decorates a function"):
        step(thing)  # type: ignore[call-overload]


def test_a_function_without_a_name_needs_one() -> None:
    nameless = partial(lambda number: number, 1)
    named: Step[..., Any] = step(name="one")(nameless)
    assert named.name == "one"
