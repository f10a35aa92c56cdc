"""How a workflow ends: with a result, with an error, with whatever else its code throws."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from perdure import step, workflow
from perdure.errors import StepFailed
from perdure.model.records import Record, RecordKind
from perdure.runtime import loop
from perdure.runtime.commands import Raised
from perdure.runtime.execution import Execution
from tests.driving import BEGAN, PAYLOAD_BYTES_MOST, VirtualEngine, new_execution, replay, replays_alike

acted: list[str] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    acted.clear()


@step
async def act(value: str) -> str:
    acted.append(value)
    return value


@step
def take_first(values: list[int]) -> int:
    return next(iter(values))


class Odd(BaseException):
    """Neither an Exception nor one of those that asyncio knows."""


def ended(body: Callable[[], Any]) -> VirtualEngine:
    @workflow
    async def sample() -> Any:
        return await body()

    with VirtualEngine(sample).run() as engine:
        replays_alike(engine)
        return engine


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, Odd, ValueError])
def test_f10_whatever_workflow_code_throws_fails_its_run_and_not_the_worker(kind: type[BaseException]) -> None:
    async def body() -> None:
        await act("first")
        raise kind("enough")

    engine = ended(body)
    assert isinstance(engine.execution.outcome, Raised)
    assert type(engine.execution.outcome.error) is kind


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_f10_a_task_that_exits_fails_the_run_at_once(kind: type[BaseException]) -> None:
    async def exits() -> None:
        await act("first")
        raise kind(3)

    async def body() -> None:
        try:
            asyncio.create_task(exits())  # noqa: RUF006 # the run holds it
            await asyncio.sleep(1000)
        finally:
            await act("never")

    engine = ended(body)
    assert engine.outcome == ("raised", kind.__name__, "3")
    assert acted == ["first"]


def test_a_workflow_that_cancels_itself_fails_with_words() -> None:
    async def body() -> None:
        current = asyncio.current_task()
        assert current is not None
        current.cancel()
        await act("never")

    assert ended(body).outcome == ("raised", "CancelledError", "the workflow cancelled itself")
    assert acted == []


def test_a_result_that_cannot_be_stored_fails_the_run_with_the_name_of_the_workflow() -> None:
    async def body() -> object:
        await act("first")
        return object()

    outcome = ended(body).outcome
    assert outcome is not None
    assert outcome[:2] == ("raised", "EncodeError")
    assert "workflow sample" in outcome[2]


def test_a_result_above_the_limit_fails_the_run() -> None:
    async def body() -> str:
        return "x" * PAYLOAD_BYTES_MOST

    outcome = ended(body).outcome
    assert outcome is not None
    assert outcome[:2] == ("raised", "PayloadTooLarge")


def test_input_that_does_not_fit_fails_the_run_with_the_field_named() -> None:
    @workflow
    async def typed(amount: int) -> int:
        return amount

    execution = new_execution(typed, b'{"amount": "much"}')
    execution.apply(Record(1, BEGAN, RecordKind.STARTED))
    assert isinstance(execution.outcome, Raised)
    assert "amount" in str(execution.outcome.error)


def test_arguments_that_cannot_be_stored_are_refused_at_the_call_before_anything_has_happened() -> None:
    async def body() -> str:
        try:
            await act(object())  # type: ignore[arg-type]
        except TypeError as error:
            return str(error)
        return "taken"

    engine = ended(body)
    assert "value" in engine.result
    assert (engine.execution.issued, acted) == (0, [])


def test_f11_a_step_that_raises_stop_iteration_fails_with_step_failed() -> None:
    """No future takes a StopIteration, and in a coroutine it would mean the end."""

    async def body() -> list[str]:
        try:
            await take_first([])
        except StepFailed as error:
            return [error.type, await act("went on")]
        return []

    assert ended(body).result == ["builtins.StopIteration", "went on"]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, Odd])
def test_f11_a_step_that_raises_no_exception_fails_and_cancels_nobody(kind: type[BaseException]) -> None:
    @step
    async def odd() -> None:
        raise kind("odd")

    async def body() -> str:
        try:
            await odd()
        except StepFailed as error:
            return error.type
        return "nothing"

    assert ended(body).result.endswith(kind.__name__)


async def spins() -> None:
    while True:
        await asyncio.sleep(0)


async def spins_beside_a_step() -> None:
    task = asyncio.create_task(act("first"))
    while not task.done():
        await asyncio.sleep(0)


async def spins_in_callbacks() -> None:
    def again() -> None:
        asyncio.get_running_loop().call_soon(again)

    again()
    await act("first")


@pytest.mark.parametrize("body", [spins, spins_beside_a_step, spins_in_callbacks])
def test_code_that_spins_without_waiting_is_stopped(body: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CALLBACKS_MOST", 10_000)
    outcome = ended(body).outcome
    assert outcome is not None
    assert outcome[:2] == ("raised", "NotAllowedInWorkflow")
    assert "spins" in outcome[2]


def test_code_that_works_long_without_spinning_is_not_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CALLBACKS_MOST", 10_000)

    async def body() -> int:
        for _ in range(30):
            await asyncio.gather(*(asyncio.sleep(0) for _ in range(100)))
            await asyncio.sleep(1)
        return 1

    assert ended(body).result == 1


def test_f61_tasks_left_at_the_end_are_closed_and_what_they_asked_for_is_abandoned() -> None:
    closed: list[str] = []

    async def left(name: str) -> None:
        try:
            await act(name)
        finally:
            closed.append(name)
            await act("after the end")

    async def body() -> str:
        for name in "abc":
            asyncio.create_task(left(name))  # noqa: RUF006 # the run holds it
        await asyncio.sleep(0)
        return "done"

    @workflow
    async def sample() -> Any:
        return await body()

    with VirtualEngine(sample) as engine:
        execution = engine.execution
        execution.apply(Record(1, BEGAN, RecordKind.STARTED))
        assert engine.outcome == ("returned", '"done"')
        assert closed == ["c", "b", "a"]
        assert execution.take_fresh() == []
        assert execution.take_abandoned() == [0, 1, 2]
        assert execution.next_deadline() is None


def test_what_was_recorded_together_with_the_end_comes_too_late_to_be_seen() -> None:
    @workflow
    async def first_wins() -> str:
        done, _ = await asyncio.wait([asyncio.create_task(act(name)) for name in "ab"], return_when=asyncio.FIRST_COMPLETED)
        return str(done.pop().result())

    with VirtualEngine(first_wins).start() as engine:
        commands = list(engine.under_way.values())
        both = [
            Record(position, BEGAN, RecordKind.STEP, "act", one.number, one.digest, output=b'"%d"' % position)
            for position, one in enumerate(commands, 2)
        ]
        late = Record(4, BEGAN, RecordKind.SIGNAL, "topic", output=b"1")
        history = [*engine.history, *both, late, Record(5, BEGAN, RecordKind.COMPLETED)]
        for _ in range(2):
            execution = new_execution(first_wins, engine.payload)
            list(replay(execution, history))
            assert stand(execution) == (5, ("2",))


def stand(execution: Execution) -> tuple[int, tuple[str, ...]]:
    outcome = execution.outcome
    assert outcome is not None
    assert not isinstance(outcome, Raised)
    return execution.position, (outcome.payload.decode().strip('"'),)


def test_an_error_in_a_callback_is_told_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> str:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        return await act("went on")

    assert ended(body).result == "went on"
    assert [record.name for record in caplog.records if "ZeroDivisionError" in (record.exc_text or "")] == ["perdure.workflow"]
    assert all(record.levelno >= logging.ERROR for record in caplog.records)
