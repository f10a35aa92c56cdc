"""G12, F54: code that asks for something else than its history holds is told so, with both sides named, and nothing loops."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from perdure import receive, step, workflow
from perdure.authoring.step import Step
from perdure.errors import CorruptedHistory, NonDeterminism
from perdure.model.records import Record, RecordKind
from perdure.runtime.divergence import check_attempt, check_issued
from perdure.runtime.execution import Execution
from tests.driving import BEGAN, VirtualEngine, new_execution, replay, stand_of

Body = Callable[[], Any]


@step
async def reserve(item: str = "") -> str:
    return f"reserved {item}"


@step
async def charge(amount: int = 1) -> int:
    return amount


@step
async def ship(item: str = "") -> str:
    return f"shipped {item}"


def history_of(body: Body, schedule: int = 0) -> list[Record]:
    @workflow
    async def order() -> Any:
        return await body()

    with VirtualEngine(order, schedule=schedule, signals=[(50, "paid", 1)]).run() as engine:
        return engine.history


def replayed(body: Body, history: Sequence[Record]) -> Execution:
    @workflow
    async def order() -> Any:
        return await body()

    execution = new_execution(order, b"{}")
    try:
        list(replay(execution, history))
    finally:
        execution.close()
    return execution


def difference(before: Body, after: Body, schedule: int = 0) -> str:
    with pytest.raises(NonDeterminism) as found:
        replayed(after, history_of(before, schedule))
    return str(found.value)


async def before() -> None:
    await reserve("book")
    await charge(30)
    await ship("book")
    await asyncio.sleep(5)
    await receive("paid")


def test_unchanged_code_replays() -> None:
    assert replayed(before, history_of(before)).issued == 3


def test_a_step_that_was_added_in_between() -> None:
    async def after() -> None:
        await reserve("book")
        await ship("early")
        await charge(30)

    told = difference(before, after)
    assert "command 1" in told
    assert "history holds step 'charge' (record 3)" in told
    assert "code now asks for 'ship'" in told


def test_a_step_that_was_removed() -> None:
    async def after() -> None:
        await reserve("book")
        await ship("book")
        await asyncio.sleep(5)

    told = difference(before, after)
    assert "history holds step 'charge'" in told
    assert "asks for 'ship'" in told


def test_the_last_steps_were_removed_so_that_the_workflow_ends_early() -> None:
    async def after() -> None:
        await reserve("book")

    told = difference(before, after)
    assert "step 'charge', command 1" in told
    assert "asked for 1 steps" in told


def test_a_step_was_removed_after_which_the_code_waits_for_something_else() -> None:
    async def after() -> None:
        await reserve("book")
        await receive("paid")

    assert "asked for 1 steps" in difference(before, after)


def test_a_step_of_another_name() -> None:
    @step(name="charge_card")
    async def renamed(amount: int) -> int:
        return amount

    async def after() -> None:
        await reserve("book")
        await renamed(30)

    told = difference(before, after)
    assert "'charge'" in told
    assert "'charge_card'" in told


def gathering(*calls: Callable[[], Any]) -> Body:
    async def body() -> None:
        await asyncio.gather(*(call() for call in calls))
        await asyncio.sleep(1)

    return body


@pytest.mark.parametrize("schedule", range(8))
@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (0, 2, 1), (1, 2, 0), (2, 0, 1)])
def test_the_steps_of_a_gather_in_another_order(order: tuple[int, ...], schedule: int) -> None:
    """In whatever order their outcomes were recorded, also where name and function are the same."""
    calls = [lambda: reserve("a"), lambda: reserve("b"), lambda: reserve("c")]
    told = difference(gathering(*calls), gathering(*(calls[index] for index in order)), schedule)
    assert "same steps in another order" in told
    assert "step 'reserve'" in told


def test_equal_calls_in_a_gather_may_change_places() -> None:
    calls = [lambda: reserve("a"), lambda: reserve("a"), lambda: charge(1)]
    history = history_of(gathering(*calls))
    assert replayed(gathering(calls[1], calls[0], calls[2]), history).position == len(history)


def test_arguments_that_merely_changed_stand_as_recorded() -> None:
    seen = []

    async def after() -> None:
        seen.append(await reserve("another book"))
        seen.append(await charge(31))
        await ship("another book")
        await asyncio.sleep(50)
        await receive("paid")

    replayed(after, history_of(before))
    assert seen == ["reserved book", 30]


def test_a_result_that_does_not_fit_the_type_of_the_step_any_more() -> None:
    @step(name="reserve")
    async def reserve_anew(item: str = "") -> int:
        return 1

    async def after() -> None:
        await reserve_anew("book")

    told = difference(before, after)
    assert "record 2" in told
    assert "result of step 'reserve' does not fit its type any more" in told


def test_a_timer_that_was_removed() -> None:
    async def after() -> None:
        await reserve("book")
        await charge(30)
        await ship("book")
        await receive("paid")

    told = difference(before, after)
    assert "record 5: timer 0 fired" in told
    assert "0 timers" in told


def test_the_last_timer_was_removed_so_that_the_workflow_ends_early() -> None:
    async def after() -> None:
        await reserve("book")
        await charge(30)
        await ship("book")

    assert "timer 0 fired" in difference(before, after)


def test_an_outcome_that_was_recorded_twice() -> None:
    history = history_of(before)
    step_again = Record(3, BEGAN, RecordKind.STEP, "reserve", 0, history[1].digest, output=b'"again"')
    with pytest.raises(NonDeterminism, match="answered before"):
        replayed(before, [*history[:2], step_again])


@pytest.mark.parametrize("position", [1, 4, 9])
def test_a_history_with_a_gap_or_a_repeat_makes_no_sense(position: int) -> None:
    history = history_of(before)[:2]
    with pytest.raises(CorruptedHistory, match=f"record {position} follows record 2"):
        replayed(before, [*history, Record(position, BEGAN, RecordKind.TIMER, command=0)])


@pytest.mark.parametrize(
    ("kind", "number"), [(RecordKind.STEP, 7), (RecordKind.STEP, None), (RecordKind.STEP_FAILED, 0), (RecordKind.TIMER, 1)]
)
def test_a_record_of_something_that_was_never_asked_for_is_a_difference_and_no_crash(kind: RecordKind, number: int | None) -> None:
    async def waits() -> None:
        await asyncio.sleep(1000)

    history = [Record(1, BEGAN, RecordKind.STARTED), Record(2, BEGAN, kind, "ship", number, b"")]
    with pytest.raises(NonDeterminism, match=r"asked for 0 steps|1 timers|answered before"):
        replayed(waits, history)


def test_m5_an_outcome_of_a_command_that_was_cancelled_since_changes_nothing_but_the_time() -> None:
    @workflow
    async def gives_up() -> str:
        try:
            async with asyncio.timeout(1):
                await reserve("book")
        except TimeoutError:
            await charge(1)
        return "charged"

    with VirtualEngine(gives_up).start() as engine:
        command = next(iter(engine.under_way.values()))
        execution = engine.execution
        execution.apply(Record(2, BEGAN + 1_000_000, RecordKind.TIMER, command=0))
        asked = [one.name for one in execution.wanted()]
        execution.apply(Record(3, BEGAN + 9_000_000, RecordKind.STEP, "reserve", 0, command.digest, output=b'"late"'))
        assert asked == ["charge"] == [one.name for one in execution.wanted()]
        assert stand_of(execution).at == BEGAN + 9_000_000


def test_m6_fewer_steps_than_the_run_had_asked_for_when_it_was_put_down() -> None:
    check_issued(2, 2)
    check_issued(2, 3)
    with pytest.raises(NonDeterminism, match=r"asked for 3 steps .* now asks for 2"):
        check_issued(3, 2)


def test_a_step_that_was_under_way_must_be_asked_for_again() -> None:
    @workflow
    async def order() -> None:
        await reserve("book")

    with VirtualEngine(order).start() as engine:
        command = engine.execution.open[0]
        check_attempt(0, "reserve", command)
        with pytest.raises(NonDeterminism, match="step 'charge' was under way, the code now asks for 'reserve'"):
            check_attempt(0, "charge", command)
        with pytest.raises(NonDeterminism, match="the code now asks for nothing"):
            check_attempt(1, "charge", None)


def test_after_a_fix_the_same_history_replays() -> None:
    history = history_of(before)
    for _ in range(3):
        with pytest.raises(NonDeterminism):
            replayed(gathering(lambda: ship("x")), history)
    assert replayed(before, history).position == len(history)


def test_two_steps_of_one_name_cannot_be_told_apart() -> None:
    def another() -> Step[..., Any]:
        @step(name="reserve")
        async def impostor(item: str = "") -> str:
            return item

        return impostor

    async def body() -> str:
        await reserve("book")
        try:
            await another()("book")
        except ValueError as error:
            return str(error)
        return "not told"

    @workflow
    async def order() -> str:
        return await body()

    with VirtualEngine(order).run() as engine:
        assert "two steps are named 'reserve'" in engine.result
        assert "impostor" in engine.result
