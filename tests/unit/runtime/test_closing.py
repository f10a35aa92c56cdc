"""A run is dropped from memory on purpose: its code is closed where it stands, acts no more, and never runs inside another run."""

import asyncio
import contextvars
import gc
import inspect
import logging
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from types import CoroutineType
from typing import Any

import pytest

from perdure import receive, set_status, step, workflow
from perdure.authoring.current import current_host
from perdure.runtime import closing
from perdure.runtime.closing import RunClosing
from perdure.runtime.execution import Execution
from perdure.runtime.loop import RunLoop
from tests.driving import VirtualEngine, new_execution, replay

calls: list[object] = []
told: list[object] = []
told_by: contextvars.ContextVar[str] = contextvars.ContextVar("told_by", default="outside")


@pytest.fixture(autouse=True)
def _forget() -> None:
    calls.clear()
    told.clear()


@step
async def act(value: str) -> str:
    calls.append(value)
    return value


def tell(what: str) -> None:
    told.append((what, current_host()))


def begun(body: Callable[[], Any]) -> VirtualEngine:
    """A run of this body that has begun and waits; its first step is under way."""

    @workflow
    async def sample() -> Any:
        return await body()

    return VirtualEngine(sample).start()


def close(body: Callable[[], Any]) -> Execution:
    execution = begun(body).execution
    assert execution.outcome is None, execution.outcome
    execution.close()
    return execution


def test_closing_is_no_exception_that_user_code_would_swallow() -> None:
    assert not issubclass(RunClosing, Exception)

    async def body() -> None:
        try:
            await act("first")
        except Exception:  # this is what users write
            tell("swallowed")
        tell("went on")

    close(body)
    assert told == []


def test_a_step_in_a_finally_acts_never_when_the_run_is_dropped_and_once_when_it_is_replayed() -> None:
    @workflow
    async def sample() -> str:
        try:
            return await act("first")
        finally:
            await act("last")

    with VirtualEngine(sample).start() as engine:
        for _ in range(5):
            other = new_execution(sample, engine.payload)
            list(replay(other, engine.history))
            other.close()
            assert other.issued == 1
        engine.execution.close()
        assert engine.execution.issued == 1
    assert calls == ["first"]  # by the engine's attempt
    with VirtualEngine(sample).run() as engine:
        assert engine.result == "first"
    assert calls == ["first", "first", "last"]


def test_every_command_of_a_closing_run_is_refused_and_its_note_stays() -> None:
    async def refused(what: Callable[[], Any]) -> None:
        try:
            asked = what()
            if inspect.isawaitable(asked):
                await asked
        except RunClosing:
            tell("refused")

    async def body() -> None:
        set_status("begun")
        try:
            await act("first")
        finally:
            await refused(lambda: act("last"))
            await refused(lambda: receive("topic"))
            set_status("closing")
            await refused(lambda: asyncio.create_task(act("task")))
            await refused(lambda: asyncio.gather(act("a"), act("b")))

    execution = close(body)
    assert told == [("refused", execution)] * 4
    assert (execution.issued, execution.note) == (1, b'"begun"')


def test_what_a_step_has_asked_for_stays_as_it_is_when_the_run_is_closed() -> None:
    async def body() -> None:
        await asyncio.gather(act("a"), act("b"))

    execution = close(body)
    assert [(command.number, command.is_cancelled) for command in execution.open.values()] == [(0, False), (1, False)]


async def swallows_everything_and_steps() -> None:
    while True:
        try:
            await act("again")
        except BaseException:  # the worst that users write
            pass


async def swallows_everything_and_sleeps() -> None:
    while True:
        try:
            await asyncio.sleep(1)
        except BaseException:  # the worst that users write
            pass


async def swallows_everything_and_receives_in_time() -> None:
    while True:
        try:
            async with asyncio.timeout(60):
                await receive("topic")
        except BaseException:  # the worst that users write
            pass


async def swallows_everything_and_makes_tasks() -> None:
    while True:
        try:
            set_status("on it")
            await asyncio.gather(act("a"), asyncio.create_task(act("b")))
        except BaseException:  # the worst that users write
            pass


async def swallows_everything_in_groups() -> None:
    while True:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(act("a"))
                await receive("topic")
        except BaseException:  # the worst that users write
            pass


async def swallows_everything_in_a_generator() -> None:
    async def endless() -> AsyncGenerator[str, None]:
        while True:
            try:
                async with asyncio.timeout(60):
                    yield await act("again")
            except BaseException:  # the worst that users write
                pass

    async for _ in endless():
        await asyncio.sleep(1000)


@pytest.mark.timeout(60, method="thread")  # it would swallow the exception of the other method
@pytest.mark.parametrize(
    "body",
    [
        swallows_everything_and_steps,
        swallows_everything_and_sleeps,
        swallows_everything_and_receives_in_time,
        swallows_everything_and_makes_tasks,
        swallows_everything_in_groups,
        swallows_everything_in_a_generator,
    ],
)
def test_f62_code_that_swallows_everything_is_put_aside_for_ever_and_told_of(
    body: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    held = len(closing._stubborn)
    engine = begun(body)
    engine.go_on()
    engine.execution.close()
    assert len(closing._stubborn) > held
    assert any("cannot be closed" in record.message and "run-1" in record.message for record in caplog.records)
    issued = engine.execution.issued
    gc.collect()
    assert engine.execution.issued == issued


def test_b46_closing_one_run_inside_another_runs_its_code_in_its_own_name_only() -> None:
    async def dropped() -> None:
        try:
            await act("first")
        finally:
            told_by.set("the dropped run")
            tell("finally")

    lost = begun(dropped).execution

    async def active() -> str:
        told_by.set("the active run")
        await act("active")
        lost.close()
        tell("active")
        assert told_by.get() == "the active run"
        return "unharmed"

    with begun(active).run() as engine:
        assert engine.outcome == ("returned", '"unharmed"')
        assert told == [("finally", lost), ("active", engine.execution)]
    assert told_by.get() == "outside"
    assert current_host() is None


def test_what_closes_runs_in_the_context_of_its_task() -> None:
    async def body() -> None:
        token = told_by.set("inside")
        try:
            await act("first")
        finally:
            tell(told_by.get())
            told_by.reset(token)  # a ValueError in any other context
            tell("reset")

    execution = close(body)
    assert told == [("inside", execution), ("reset", execution)]
    assert told_by.get() == "outside"


def test_b8_f17_the_garbage_collector_destroys_nothing_and_runs_nothing() -> None:
    @workflow
    async def sample() -> list[str]:
        async def waits(number: int) -> str:
            try:
                return await act(str(number))
            finally:
                tell("finally")

        async def nested() -> AsyncGenerator[str, None]:
            try:
                yield await waits(9)
            finally:
                tell("generator")

        for number in range(5):
            asyncio.create_task(waits(number))  # noqa: RUF006 # nobody holds them: the run does
        abandoned = nested()
        answer = await anext(abandoned)
        del abandoned
        await asyncio.sleep(100)
        return [answer]

    with VirtualEngine(sample).start() as engine:
        while engine.go_on():
            gc.collect()
            assert ("generator", engine.execution) not in told[:-1]
        assert engine.result == ["9"]
        assert [what for what, _ in told] == ["finally"] * 6 + ["generator"]
        assert {host for _, host in told} == {engine.execution}


def test_a_generator_whose_clean_up_waits_is_closed_with_its_run_and_not_by_the_garbage_collector() -> None:
    async def generates() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            try:
                await asyncio.sleep(1)
            finally:
                tell("innermost")

    async def body() -> None:
        async for _ in generates():
            break
        await act("first")

    execution = close(body)
    assert told == [("innermost", execution)]
    gc.collect()
    assert told == [("innermost", execution)]


def test_m9_a_run_has_a_context_of_its_own_and_sees_nothing_of_the_workers() -> None:
    async def body() -> str:
        seen = told_by.get()
        told_by.set("inside")
        await act("first")
        return seen

    token = told_by.set("the worker")
    try:
        with begun(body).run() as engine:
            assert engine.result == "outside"
        assert told_by.get() == "the worker"
    finally:
        told_by.reset(token)


def test_what_was_started_last_is_closed_first() -> None:
    async def waits(name: str) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            tell(name)

    async def body() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(waits("a"))
            group.create_task(waits("b"))
            await waits("body")

    close(body)
    assert [name for name, _ in told] == ["b", "a", "body"]


def test_a_task_that_never_began_is_closed_without_running() -> None:
    async def never() -> None:
        tell("ran")

    async def body() -> None:
        asyncio.create_task(never())  # noqa: RUF006 # it must not begin
        raise SystemExit

    with begun(body) as engine:
        assert engine.outcome == ("raised", "SystemExit", "")
    gc.collect()
    assert told == []


def test_closing_twice_does_nothing_more() -> None:
    async def body() -> None:
        try:
            await act("first")
        finally:
            tell("finally")

    execution = close(body)
    execution.close()
    assert len(told) == 1


def test_what_a_run_logs_while_it_is_dropped_is_not_heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def body() -> None:
        log = logging.getLogger("sample")
        log.info("begun")
        try:
            await act("first")
        finally:
            log.info("left")

    close(body)
    assert [record.message for record in caplog.records if record.name == "sample"] == ["begun"]


def test_finished_async_generators_are_not_held_for_ever() -> None:
    async def one() -> AsyncGenerator[int, None]:
        yield 1

    async def body() -> int:
        for _ in range(1000):
            async for _ in one():
                pass
        return len(asyncio.get_running_loop().generators)  # type: ignore[attr-defined]

    with begun(body) as engine:
        assert engine.result < 200


ENDS = """
import asyncio
from perdure import step, workflow
from tests.driving import VirtualEngine

@step
async def act() -> None: ...

async def endless():
    while True:
        try:
            async with asyncio.timeout(60):
                yield await act()
        except BaseException:
            pass

@workflow
async def swallows() -> None:
    generator = endless()
    await anext(generator)
    while True:
        try:
            async with asyncio.timeout(60):
                await act()
        except BaseException:
            pass

with VirtualEngine(swallows).start() as engine:
    engine.go_on()
print("closed")
"""


def test_f62_a_process_that_holds_such_code_still_ends() -> None:
    """When the interpreter gives back what it holds, that code would go round without ever waiting."""
    child = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=30, check=True)
    assert child.stdout == "closed\n"


async def sleeps() -> None:
    await asyncio.sleep(60)


async def receives_in_time() -> None:
    async with asyncio.timeout(60):
        await receive("decided")


async def gathers() -> None:
    await asyncio.gather(act("a"), asyncio.sleep(60), sleeps())


async def has_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(sleeps())
        await act("a")


async def waits_for_the_first() -> None:
    await asyncio.wait([asyncio.create_task(sleeps()), asyncio.create_task(receives_in_time())], return_when="FIRST_COMPLETED")


async def takes_as_completed() -> None:
    for one in asyncio.as_completed([sleeps(), receives_in_time()]):
        await one


async def waits_in_a_queue() -> None:
    await asyncio.Queue[int]().get()


@pytest.mark.parametrize(
    "body", [sleeps, receives_in_time, gathers, has_a_group, waits_for_the_first, takes_as_completed, waits_in_a_queue]
)
def test_a_run_that_is_dropped_while_it_waits_leaves_nothing_to_the_garbage_collector(body: Callable[[], Any]) -> None:
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        close(body)
        gc.collect()
        left = [one for one in gc.garbage if isinstance(one, (asyncio.Future, Execution, RunLoop, CoroutineType))]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []
